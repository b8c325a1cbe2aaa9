"""The deterministic computer: a stock QEMU, driven to exact instants and rewound in process.

Knows nothing of containers. All instants here are nanoseconds of virtual time since power-on,
which is also the number of instructions executed plus the idle time skipped.
"""
