"""This file serves the functions with mosec: a route each, one worker process behind each, no batches."""

from functions import add, project, total
from mosec import Runtime, Server, Worker


class Add(Worker):
    def forward(self, data):
        return add(data["x"], data["y"])


class Total(Worker):
    def forward(self, data):
        return total(data["values"])


class Project(Worker):
    def forward(self, data):
        return project(data["x"])


def serve(workers):
    server = Server()
    server.register_runtime({route: [Runtime(worker, num=1)] for route, worker in workers.items()})
    server.run()


if __name__ == "__main__":
    serve({"/add": Add, "/total": Total, "/project": Project})
