from tests.unit.admin.conftest import cluster, connection, frontends, manager, unconnected

__all__ = ["cluster", "connection", "frontends", "manager", "unconnected"]
