"""Aria: a small message bus.

Publishers send messages to a sequencer, which puts them in one order: the *core stream*, an
endless sequence of bytes. Every byte has an offset, counted from the first byte ever, and every
other service knows its place in the bus by such an offset.

Services start within a few ten milliseconds, so modules import only what each of them needs, and
nothing heavy from the standard library (no asyncio, argparse, pathlib, dataclasses, re).
"""
