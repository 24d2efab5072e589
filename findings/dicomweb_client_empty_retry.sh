#!/usr/bin/env bash
# dicomweb-client 0.61.2: a STOW-RS request of more than chunk_size bytes (1,000,000) is sent from a generator. When the
# server answers 503 and the client tries again, as it does by default, the generator is used up: the second request has
# an empty body. Seen: "bodies: 1310xxx 0". Expected: two bodies of the same size.
# mura-batch sets chunk_size above any request and retries by itself (outputs/send/stow.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet dicomweb-client==0.61.2 pydicom==3.0.2 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pydicom
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

bodies = []


class Server(BaseHTTPRequestHandler):
    """503 once, then success."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        bodies.append(len(body))
        answer = json.dumps({}).encode()
        self.send_response(503 if len(bodies) == 1 else 200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
data = Dataset()
data.file_meta = FileMetaDataset()
data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "2.25.1"
data.StudyInstanceUID, data.SeriesInstanceUID = "2.25.2", "2.25.3"
data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 640, 1024, 1, "MONOCHROME2"
data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
data.PixelData = bytes(640 * 1024 * 2)
data["PixelData"].VR = "OW"
DICOMwebClient(f"http://127.0.0.1:{server.server_port}").store_instances([data])
print("pydicom", pydicom.__version__, "bodies:", *bodies)
assert len(bodies) == 2 and bodies[0] > 1_300_000 and bodies[1] == 0, "the behaviour has changed"
PYTHON
