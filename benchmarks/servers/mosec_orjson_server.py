"""This file serves the functions with mosec as mosec_server.py does, with a faster JSON library in place of its own."""

import mosec_server
import orjson


class Quick:
    def deserialize(self, data):
        return orjson.loads(data)

    def serialize(self, data):
        return orjson.dumps(data)


class Add(Quick, mosec_server.Add):
    pass


class Total(Quick, mosec_server.Total):
    pass


class Project(Quick, mosec_server.Project):
    pass


if __name__ == "__main__":
    mosec_server.serve({"/add": Add, "/total": Total, "/project": Project})
