"""Run the server of the rating page."""

from __future__ import annotations

import ipaddress
import signal
import socket
import ssl
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from custom_components.review.review import Review
from custom_components.review.server import make_app
from custom_components.review.sessions import Sessions

ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: name or address.
        port: number.
        tls_cert: certificate (PEM), or empty.
        tls_key: its key (PEM), or empty.
        insecure: whether another host than this machine may be without TLS.

    Raises:
        ValueError: another host than this machine has neither TLS nor `insecure`, a file is missing or no certificate,
            or the port cannot be.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    tls_cert: str = ""
    tls_key: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}, expected 1 to 65535")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError(f"{'tls_key' if self.tls_cert else 'tls_cert'} is not given, expected both or none")
        for name, path in (("tls_cert", self.tls_cert), ("tls_key", self.tls_key)):
            if path and not Path(path).is_file():
                raise ValueError(f"{name} is {path}: no such file")
        if self.tls_cert:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert, self.tls_key)
            except ssl.SSLError as error:
                raise ValueError(f"{self.tls_cert} and {self.tls_key}: no certificate with its key: {error}") from None
        if not self.is_local and not self.tls_cert and not self.insecure:
            raise ValueError(
                f"host is {self.host}, which others can reach: expected --tls_cert and --tls_key, or --insecure, with "
                "which whoever is in the network can read along"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.tls_cert else "http"

    def hosts(self, port: int) -> list[str]:
        """Names under which the server may be asked."""
        names = {self.host, *(["localhost", "127.0.0.1", "[::1]"] if self.is_local else [])}
        if self.host in ANY:
            names = {"localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn(), *_own_addresses()}
        names = {f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names}
        default = 443 if self.scheme == "https" else 80
        return [f"{name}:{port}" for name in names] + ([*names] if port == default else [])

    def url(self, port: int) -> str:
        """What a browser opens."""
        host = socket.gethostname() if self.host in ANY else self.host
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(review: Review, address: Address, *, open_browser: bool = True) -> None:
    """Serve a review until Ctrl-C or SIGTERM; for the main thread.

    Args:
        review: to serve.
        address: where to listen.
        open_browser: open the page in the user's browser.

    Raises:
        OSError: the port is in use or the host is not of this machine.
    """
    review.helper.start("examples:draw_examples", review.cohort.folder)
    if any(source.segmentations for source in review.cohort.sources):
        review.helper.start("volumes:warm_up")
    listener = listen(address)
    port = int(listener.getsockname()[1])

    def announce(token: str) -> None:
        print(f"for the next rater, once: {address.url(port)}#token={token}", flush=True)

    sessions = Sessions(review.store, announce)
    app = make_app(review, sessions, hosts=address.hosts(port), scheme=address.scheme, cookie=f"review_{port}")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3,
        ssl_certfile=address.tls_cert or None, ssl_keyfile=address.tls_key or None,
    )  # fmt: skip
    url = f"{address.url(port)}#token={sessions.new_token()}"
    print(f"open this address, which is good for one rater: {url}\nCtrl-C ends the server", flush=True)
    if open_browser and address.is_local:
        threading.Timer(0.5, webbrowser.open, [url]).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ends are the same: uvicorn passes the signal on
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def listen(address: Address) -> socket.socket:
    """A socket that listens, made before the page is announced.

    Raises:
        OSError: the port is in use or the host is not of this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the socket names its protocol; else each takes 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen()  # who comes before the server is ready waits
    except OSError as error:
        listener.close()
        raise OSError(f"{address.host}:{address.port}: {error.strerror}; choose another --port") from None
    return listener


def _own_addresses() -> set[str]:
    """Addresses by which others may call this machine."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        return set()
