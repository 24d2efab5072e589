"""What every page of the project shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from mura_batch.outputs.html import UndefinedError, content_policy, html_environment


def test_values_are_escaped_whatever_the_template_is_called(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("<p>{{ text }}</p>")
    page = html_environment(tmp_path).get_template("page.txt").render(text="<script>&")
    assert page == "<p>&lt;script&gt;&amp;</p>"


def test_an_undefined_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ missing }}")
    with pytest.raises(UndefinedError):
        html_environment(tmp_path).get_template("page.html").render()


def test_the_policy_allows_its_own_style_and_nothing_else() -> None:
    policy = content_policy("body{color:red}")
    # printf 'body{color:red}' | openssl dgst -sha256 -binary | base64
    assert "style-src 'sha256-FcQqt3aNlV7AZnGV4zkQRVeCeJOxbMPnQSx258L803E='" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
