"""The limits that a reduced precision must hold, and what was measured against them: no array library is needed to read
them. `parity` measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits of a precision, in units of probability. Past any of them it is not used."""

    max_abs: float
    mean_abs: float
    flip_margin: float  # a decision may change only for an image this near to the threshold


# FP16 keeps 11 significant bits. Measured on DenseNet169 with a half body and a float32 head: max 2e-4 to 3e-4; the
# gate is 20 times that, and still a tenth of the smallest difference between two studies that a reader would act on.
FP16_GATE = Gate(max_abs=5e-3, mean_abs=5e-4, flip_margin=5e-3)

# What the CPU runner's bf16 and int8 are held to. bfloat16 keeps 8 significant bits, 8 times fewer than FP16, and 8-bit
# integers as many of the largest value: the gate is looser by about that.
CPU_GATE = Gate(max_abs=2e-2, mean_abs=5e-3, flip_margin=1e-2)


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of probability from float32 over n images. flips: decisions that changed although float32 was further
    than the gate's flip_margin from the threshold. finite: every output of both was a number."""

    n: int
    max_abs: float
    mean_abs: float
    flips: int
    finite: bool

    def failures(self, gate: Gate) -> tuple[str, ...]:
        """What is past the gate, in words; empty where it holds."""
        failures = []
        if not self.finite:
            failures.append("an output is not a finite number")
        if not self.max_abs <= gate.max_abs:
            failures.append(f"max |dp| {self.max_abs:.2g} is over {gate.max_abs:g}")
        if not self.mean_abs <= gate.mean_abs:
            failures.append(f"mean |dp| {self.mean_abs:.2g} is over {gate.mean_abs:g}")
        if self.flips:
            failures.append(f"{self.flips} decisions changed further than {gate.flip_margin:g} from the threshold")
        return tuple(failures)

    def __str__(self) -> str:
        return f"max |dp| {self.max_abs:.2g}, mean {self.mean_abs:.2g}, {self.flips} flips on {self.n} reference images"
