"""The real UWS API server (lsst-dm/uws-api-server) with only its Kubernetes layer replaced: a job is a process of this machine.

python uws_server.py SERVER_FOLDER [PORT]

SERVER_FOLDER is `server/` of a checkout. Needs tornado, jinja2 and PyYAML. Prints `UWS_URL=http://127.0.0.1:PORT/api/v1` when it
serves. Files are below a new temporary folder.
"""

import builtins
import datetime
import os
import subprocess
import sys
import tempfile
import types

import yaml

PIPETASK = """case "$PIPELINE_URL" in
  *bad.yaml) exit 1 ;;
  *slow.yaml) sleep 60 ;;
  *) sleep 2 ;;
esac
"""
ROOT = tempfile.mkdtemp(prefix="uws-")
CONFIG = {
    "server": {"basePath": "/api/v1", "port": 0, "service": "uws-server", "protocol": "http", "logLevel": "warning"},
    "job": {
        "image": {"repository": "none", "tag": "none"},
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
    },
    "workingVolume": {"name": "w", "claimName": "w", "mountPath": ROOT, "subPath": ""},
    "volumes": [],
}


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def thing(**fields):
    return types.SimpleNamespace(**fields)


class ApiException(Exception):
    pass


class Jobs:
    """What the server asks of Kubernetes."""

    jobs = {}

    def create_namespaced_job(self, namespace, body):
        template = body["spec"]["template"]
        container = template["spec"]["containers"][0]
        env = {e["name"]: str(e["value"]) for e in container["env"]}
        os.makedirs(env["JOB_OUTPUT_DIR"])
        if "JOB_SOURCE_DIR" in env:
            # In place of the repository that would be cloned: what OCPS lets run there.
            os.makedirs(os.path.join(env["JOB_SOURCE_DIR"], "bin"))
            with open(os.path.join(env["JOB_SOURCE_DIR"], "bin", "pipetask.sh"), "w") as script:
                script.write(PIPETASK)
        process = subprocess.Popen(container["command"], env={**os.environ, **env}, start_new_session=True)
        self.jobs[body["metadata"]["name"]] = thing(
            metadata=thing(
                name=body["metadata"]["name"], creation_timestamp=now(), labels=dict(template["metadata"]["labels"])
            ),
            spec=thing(
                template=thing(
                    spec=thing(
                        containers=[
                            thing(
                                env=[thing(name=k, value=v) for k, v in env.items()], command=container["command"]
                            )
                        ]
                    )
                )
            ),
            process=process,
            start=now(),
            end=None,
        )

    def list_namespaced_job(self, namespace, label_selector):
        key, _, value = label_selector.partition("=")
        found = [job for job in self.jobs.values() if job.metadata.labels.get(key) == value]
        for job in found:
            code = job.process.poll()
            if code is not None and job.end is None:
                job.end = now()
            job.status = thing(
                active=1 if code is None else None,
                start_time=job.start,
                # Kubernetes gives a failed job no completion time.
                completion_time=job.end if code == 0 else None,
                succeeded=1 if code == 0 else None,
                failed=1 if code else None,
            )
        return thing(items=found)

    def delete_namespaced_job(self, namespace, name, body):
        if name not in self.jobs:
            raise ApiException("(404)\nReason: Not Found")
        job = self.jobs.pop(name)
        job.process.kill()
        return thing(status=None, message=None, code=None)


def main():
    folder = os.path.abspath(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    kubernetes = types.ModuleType("kubernetes")
    client = types.ModuleType("kubernetes.client")
    client.Configuration = client.CoreV1Api = lambda: None
    client.V1DeleteOptions = lambda **_: None
    client.BatchV1Api = Jobs
    rest = types.ModuleType("kubernetes.client.rest")
    rest.ApiException = ApiException
    config = types.ModuleType("kubernetes.config")
    config.load_incluster_config = lambda: None
    kubernetes.client, kubernetes.config, client.rest = client, config, rest
    for module in (kubernetes, client, rest, config):
        sys.modules[module.__name__] = module
    settings = os.path.join(ROOT, "uws.yaml")
    with open(settings, "w") as file:
        yaml.safe_dump(CONFIG, file)
    real_open = builtins.open
    builtins.open = lambda name, *a, **k: real_open(settings if name == "/etc/config/uws.yaml" else name, *a, **k)
    sys.path.insert(0, folder)
    import server
    import tornado.httpserver
    import tornado.ioloop
    import tornado.netutil
    import tornado.web

    app = server.make_app(base_path="/api/v1")
    app.settings["autoreload"] = False
    sockets = tornado.netutil.bind_sockets(port, "127.0.0.1")
    http = tornado.httpserver.HTTPServer(app)
    http.add_sockets(sockets)
    print(f"UWS_URL=http://127.0.0.1:{sockets[0].getsockname()[1]}/api/v1", flush=True)
    tornado.ioloop.IOLoop.current().start()


if __name__ == "__main__":
    main()
