"""`score --cluster`: headers, pictures and the model on the nodes of a Ray cluster; ledger, lock and outputs stay with
the driver. Ray schedules, moves and restarts; what runs on a node is what a local run calls.

    nodes         connects, checks every node and keeps an engine on each
    node_work     what a node does: read headers, decode, run the model
    deliveries    pictures out to the nodes, scores back into the ledger
    archive_cost  what an archive would cost
    bucket        studies in object storage
    cluster_work  joins them for the pipeline
"""
