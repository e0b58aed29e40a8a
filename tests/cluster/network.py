"""The cluster's own network namespace: a veth pair to the host, and the host's address translation for what leaves it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .layout import HOST_IP, NODE_IP, POD_CIDR, Layout, host_tool

NODE_CIDR = "10.87.0.0/24"


def _run(*arguments: str, check: bool = True, stdin: str = "") -> bool:
    done = subprocess.run(
        [host_tool(arguments[0]), *arguments[1:]], input=stdin, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.returncode == 0


def handle(layout: Layout) -> Path:
    """The file by which the namespace is entered."""
    return Path("/run/netns") / layout.netns


def enter(layout: Layout, *command: str) -> list[str]:
    """A command inside of the namespace; not by `ip netns exec`, whose fresh /sys hides the cgroups."""
    return [host_tool("nsenter"), f"--net={handle(layout)}", "--", *command]


def up(layout: Layout) -> None:
    """Make namespace, veth pair, routes and translation; what is there already stays."""
    host, node = f"{layout.netns[:8]}-h", f"{layout.netns[:8]}-n"
    if not handle(layout).exists():
        _run("ip", "netns", "add", layout.netns)
    if not _run("ip", "link", "show", host, check=False):
        _run("ip", "link", "add", host, "type", "veth", "peer", "name", node, "netns", layout.netns)
        _run("ip", "addr", "add", f"{HOST_IP}/24", "dev", host)
        _run("ip", "link", "set", host, "up")
        for words in (
            ("addr", "add", f"{NODE_IP}/24", "dev", node),
            ("link", "set", node, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", HOST_IP),
        ):
            _run("ip", "-n", layout.netns, *words)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    subprocess.run(enter(layout, "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
    table = layout.netns
    rules = f"""
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain post {{
    type nat hook postrouting priority 100;
    ip saddr {{ {NODE_CIDR}, {POD_CIDR} }} oifname != "{host}" masquerade
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{host}" accept
    oifname "{host}" accept
  }}
}}
"""
    _run("nft", "-f", "-", stdin=rules)
    _run("ip", "route", "replace", POD_CIDR, "via", NODE_IP)


def down(layout: Layout) -> None:
    """Take all of it away."""
    _run("nft", "delete", "table", "ip", layout.netns, check=False)
    _run("ip", "link", "del", f"{layout.netns[:8]}-h", check=False)
    _run("ip", "netns", "del", layout.netns, check=False)
