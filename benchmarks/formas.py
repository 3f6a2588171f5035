"""Escenas de Formas por segundo en un núcleo: `python benchmarks/formas.py`."""

import time

from convlab.data.formas import formas


def main() -> None:
    formas(64)
    best = 0.0
    for repeat in range(5):
        start = time.perf_counter()
        formas(1000, seed=repeat)
        best = max(best, 1000 / (time.perf_counter() - start))
    print(f"formas: {best:.0f} escenas/s (la mejor de 5 tandas de 1000, un hilo)")


if __name__ == "__main__":
    main()
