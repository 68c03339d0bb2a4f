"""The processes of a node: Celery's tasks, the station's one process, the hub's web servers. Nothing imports this."""
