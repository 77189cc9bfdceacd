"""How many checkpoints a second `allod witness` cosigns over HTTP, each durable before it is answered.

    python bench/witness_cosign.py [--steps 150]

Every client has a log of its own, which grows by one entry a request, and one connection. Beside it
the rate of bare durable replacements of one small file in the same place: what every cosignature of
one log costs at least, since its witness must not forget it.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from allod import durable
from allod.server.log.sequencer import Sequencer
from allod.server.witness.directory import WitnessDirectory
from allod.testing.log_storage import MemoryLog, MemoryLogStorage
from allod.testing.logs import note_signer
from allod.tlog.note import VerifierKey
from allod.tlog.proofs import consistency_proof
from allod.tlog.tiles import Tile, TileReader
from allod.tlog.witness import AddCheckpoint


def requests_of(number: int, steps: int) -> tuple[VerifierKey, list[bytes]]:
    """The requests by which a log has its growth cosigned."""
    signer = note_signer(f"log.example/{number}")
    storage = MemoryLogStorage(MemoryLog())
    sequencer = Sequencer(storage, signer.key.name, signer)
    old, bodies = sequencer.create().size, []

    def read(tile: Tile) -> bytes:
        return storage.read(tile.path) or b""

    for step in range(steps):
        signed = sequencer.append([b"%d" % step]).checkpoint
        proof = consistency_proof(old, signed.size, TileReader(signed.size, read))
        bodies.append(AddCheckpoint(old, proof, signed.note).encode())
        old = signed.size
    return signer.key, bodies


def ask(port: int, bodies: list[bytes], times: list[float]) -> None:
    """One client: all of its requests, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for body in bodies:
        begin = time.perf_counter()
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK or not answer.read():
            sys.exit(f"the witness answers with {answer.status}")
        times.append(time.perf_counter() - begin)
    connection.close()


def bare(place: Path, seconds: float = 2.0) -> float:
    """Durable replacements a second."""
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        durable.write_atomic(place / "bare", b"x" * 300)
        count += 1
    return count / (time.monotonic() - begin)


def serving(directory: Path, port: int) -> subprocess.Popen[bytes]:
    """The witness, once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "allod.program", "witness", "serve", str(directory)],
        stderr=subprocess.DEVNULL,
    )
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=150)
    steps = parser.parse_args().steps
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=".") as name:
        place = WitnessDirectory(Path(name) / "witness")
        place.create("witness.example/bench", "127.0.0.1", port)
        print("| what | a second | ms, half of them | ms, 99 of 100 |\n|---|--:|--:|--:|")
        rate = bare(Path(name))
        print(f"| bare durable replacements | {rate:,.0f} | {1e3 / rate:.1f} | |")
        process, number = serving(place.root, port), 0
        try:
            for clients in (1, 4, 16):
                logs = [requests_of(number + one, steps) for one in range(clients)]
                number += clients
                for key, _ in logs:
                    place.add_log(key.name, (key,))
                times: list[float] = []
                threads = [
                    threading.Thread(target=ask, args=(port, bodies, times)) for _, bodies in logs
                ]
                begin = time.monotonic()
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                rate, times = len(times) / (time.monotonic() - begin), sorted(times)
                half, most = times[len(times) // 2], times[len(times) * 99 // 100]
                print(
                    f"| cosigned, {clients} clients | {rate:,.0f} | {half * 1e3:.1f} | {most * 1e3:.1f} |"
                )
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
