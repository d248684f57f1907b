"""The provider as a process: `python -m deploy.provider`, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal

from deploy.provider.server import serve
from deploy.provider.settings import ProviderSettings


async def main() -> None:
    """Serve until asked to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(ProviderSettings(), stop)


if __name__ == "__main__":
    asyncio.run(main())
