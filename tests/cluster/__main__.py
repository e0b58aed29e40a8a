"""`python tests/cluster up | down | status | images | build | restart NAME | gpus | logs [NAME] | shell`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster import Cluster, build


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(
        prog="python tests/cluster", description="A real single-node Kubernetes for tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring it up, or what of it is down")
    commands.add_parser("down", help="stop everything; nothing is left but the cache")
    commands.add_parser("status", help="which process runs under which pid")
    commands.add_parser("images", help="build the images of the end-to-end tests and bring them into the node")
    building = commands.add_parser("build", help="build the tools into the cache")
    building.add_argument("--only", nargs="*", default=[], help="modules of tools/")
    building.add_argument("--everything", action="store_true", help="also what only e2e-all needs")
    restart = commands.add_parser("restart", help="stop one process and start it again")
    restart.add_argument("name")
    restart.add_argument("--kill", action="store_true", help="by SIGKILL")
    gpus = commands.add_parser("gpus", help="how many devices there are")
    gpus.add_argument("--count", type=int, default=2)
    gpus.add_argument("--sick", type=int, default=0)
    logs = commands.add_parser("logs", help="the last lines of every process, or all of one")
    logs.add_argument("name", nargs="?")
    commands.add_parser("shell", help="a shell with kubectl and helm for this cluster")
    arguments = parser.parse_args()
    cluster = Cluster()
    layout = cluster.layout
    match arguments.command:
        case "up":
            seconds = cluster.up()
            print(f"ready after {seconds:.1f} s: export KUBECONFIG={cluster.kubeconfig} PATH={cluster.bin}:$PATH")
        case "down":
            cluster.down()
        case "status":
            found = cluster.status()
            for name, pid in found.items():
                print(f"{name:28} {pid or '-'}")
            sys.exit(0 if all(found.values()) else 1)
        case "images":
            print("\n".join(cluster.images()))
        case "build":
            build.build_all(layout, only=tuple(arguments.only), everything=arguments.everything)
        case "restart":
            cluster.restart(arguments.name, kill=arguments.kill)
        case "gpus":
            cluster.gpus(count=arguments.count, sick=arguments.sick)
        case "logs":
            for path in sorted(layout.logs.glob("*.log")):
                if arguments.name in (None, path.stem):
                    lines = path.read_text(errors="replace").splitlines()
                    print(f"== {path}", *(lines if arguments.name else lines[-20:]), sep="\n")
        case "shell":
            environment = {
                **os.environ,
                "KUBECONFIG": str(cluster.kubeconfig),
                "PATH": f"{cluster.bin}:{os.environ['PATH']}",
            }
            shell = os.environ.get("SHELL", "/bin/sh")
            os.execvpe(shell, [shell], environment)


if __name__ == "__main__":
    main()
