"""Measure the instrument floor of this machine: what a server that does nothing seems to take.

Example: perflib calibrate
Exit status: 0 measured.
"""


def calibrate() -> None:
    """Print the floor."""
    from perflib.session.floor import calibrate

    floor = calibrate(2.0)
    print(f"instrument floor: p50 {floor.p50_ms:.3f} ms, p99 {floor.p99_ms:.3f} ms ({floor.requests:,} requests)")
