"""This file serves the functions with LitServe: one HTTP process, one worker process behind each route, no batches."""

import sys

from functions import add, project, total
from litserve import LitAPI, LitServer


class Api(LitAPI):
    def setup(self, device):
        """Nothing is to be loaded."""

    def decode_request(self, request):
        return request

    def encode_response(self, output):
        return {"output": output}


class Add(Api):
    def predict(self, x):
        return add(x["x"], x["y"])


class Total(Api):
    def predict(self, x):
        return total(x["values"])


class Project(Api):
    def predict(self, x):
        return project(x["x"])


if __name__ == "__main__":
    apis = [Add(api_path="/add"), Total(api_path="/total"), Project(api_path="/project")]
    server = LitServer(apis, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
