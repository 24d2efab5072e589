"""The Runner protocol's promises: every runner keeps every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mura_batch.errors import InputError, RunnerError
from mura_batch.model_card import Model
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.runner import Outputs, RunnerOptions

Open = Callable[..., Any]
TOLERANCE = 2e-3  # between runners: both read the same FP16 weights and compute in float32 here


@pytest.fixture(params=["openvino", "tensorrt 10.13.3.9", "tensorrt 11.4.0.106"])
def open_any(request: pytest.FixtureRequest, tiny_model: Model) -> Open:
    """open_any(batch_size=4, **more) -> a runner not yet entered: the CPU's, really; the GPU's, over fakes."""
    if request.param == "openvino":
        return lambda batch_size=4, features=True: open_runner(
            tiny_model, RunnerOptions("cpu", "float32", batch_size, features=features)
        )
    simulation = request.getfixturevalue("simulation")
    simulation.start(request.param.split()[1])
    own = request.getfixturevalue("own_model")
    from mura_batch.runtime.tensorrt.compile import BuildOptions, compile_plan

    compile_plan(own, BuildOptions(opt_batch=4, max_batch=8))
    return lambda batch_size=4, features=True: open_runner(
        own, RunnerOptions("gpu", batch_size=batch_size, features=features)
    )


def pieces(pictures: np.ndarray, *sizes: int) -> Iterator[np.ndarray]:
    start = 0
    for size in sizes:
        yield pictures[start : start + size]
        start += size


def test_batches_of_any_size_are_answered_in_order(open_any: Open, pictures: np.ndarray, expected: Outputs) -> None:
    sizes = (1, 4, 3, 9, 2, 1)
    with open_any(batch_size=4) as runner:
        outputs = list(runner.run(pieces(pictures, *sizes)))
    assert [len(output.probability) for output in outputs] == list(sizes)
    together = np.concatenate([output.probability for output in outputs])
    assert np.allclose(together, expected.probability, atol=TOLERANCE)
    for name in ("cam", "features"):
        got = np.concatenate([getattr(output, name) for output in outputs])
        assert got.dtype == np.float32
        assert np.allclose(got, getattr(expected, name), atol=0.01, rtol=0.02)


def test_features_are_fetched_only_when_asked_for(open_any: Open, pictures: np.ndarray) -> None:
    with open_any(features=False) as runner:
        (outputs,) = runner.run([pictures[:7]])
    assert outputs.features is None
    assert outputs.cam.shape == (7, 8, 8)


def test_a_score_does_not_depend_on_the_batch(open_any: Open, pictures: np.ndarray) -> None:
    with open_any(batch_size=4) as runner:
        alone = [next(runner.run([pictures[i : i + 1]])).probability[0] for i in range(5)]
        (among,) = runner.run([pictures[:5]])
    assert np.allclose(alone, among.probability, atol=1e-6)


def test_answers_are_the_receivers_own(open_any: Open, pictures: np.ndarray) -> None:
    with open_any() as runner:
        first, second = runner.run([pictures[:4], pictures[:4]])
        kept = second.features.copy()
        first.features[...] = -1
        list(runner.run([pictures[4:8]]))
    assert np.array_equal(second.features, kept)


def test_no_batches_give_no_answers(open_any: Open) -> None:
    with open_any() as runner:
        assert list(runner.run([])) == []


def test_batches_are_taken_only_a_few_ahead_of_the_answers(open_any: Open, pictures: np.ndarray) -> None:
    taken = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield pictures[:4]

    with open_any() as runner:
        answers = runner.run(batches())
        next(answers)
        assert taken <= 6
        answers.close()


def test_a_consumer_that_stops_early_leaves_a_runner_that_works(
    open_any: Open, pictures: np.ndarray, expected: Outputs
) -> None:
    with open_any() as runner:
        answers = runner.run(pieces(pictures, 4, 4, 4, 4))
        next(answers)
        answers.close()
        (again,) = runner.run([pictures[8:12]])
    assert np.allclose(again.probability, expected.probability[8:12], atol=TOLERANCE)


def test_a_runner_still_works_after_an_error_in_its_batches(open_any: Open, pictures: np.ndarray) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield pictures[:4]
        raise KeyError("the decoder")

    with open_any() as runner:
        with pytest.raises(KeyError, match="the decoder"):
            list(runner.run(failing()))
        assert len(list(runner.run([pictures[:4]]))) == 1


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 1, 32, 32), np.uint8),
        np.zeros((2, 1, 32, 31), np.uint8),
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((2, 1, 32, 32), np.float32),
        np.zeros((1, 32, 32), np.uint8),
    ],
    ids=["empty", "another size", "three channels", "float", "no channel"],
)
def test_a_batch_that_breaks_the_contract_is_refused(open_any: Open, bad: np.ndarray) -> None:
    with open_any() as runner, pytest.raises(RunnerError, match="a batch is uint8"):
        list(runner.run([bad]))


def test_nothing_runs_before_enter_or_after_exit(open_any: Open, pictures: np.ndarray) -> None:
    runner = open_any()
    with pytest.raises(RunnerError, match="not been entered"):
        _ = runner.info
    with pytest.raises(RunnerError, match="not open"):
        list(runner.run([pictures]))
    with runner:
        pass
    with pytest.raises(RunnerError, match="not open"):
        list(runner.run([pictures]))


def test_a_runner_can_be_entered_again(open_any: Open, pictures: np.ndarray) -> None:
    runner = open_any()
    scores = []
    for _ in range(2):
        with runner:
            scores.append(next(runner.run([pictures[:4]])).probability)
    assert np.array_equal(*scores)


def test_the_manifest_gets_what_it_records(open_any: Open) -> None:
    with open_any() as runner:
        info = runner.info
    assert info.name in {"openvino", "tensorrt"}
    assert info.device
    assert info.version
    assert "as asked for" in info.reason
    assert (info.parity_max_abs_error is None) == (info.precision == "float32")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RunnerOptions(device="tpu"), "auto, gpu, cpu"),
        (RunnerOptions(backend="onnx"), "auto, tensorrt, rtx, openvino"),
        (RunnerOptions(device="cpu", backend="tensorrt"), "does not run on --device cpu"),
        (RunnerOptions(precision="int4"), "auto, float32, bf16, int8"),
        (RunnerOptions(batch_size=0), "1 to"),
        (RunnerOptions(threads=0), "1 or more"),
        (RunnerOptions(device="gpu", precision="bf16"), "for --device cpu"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_may_be(tiny_model: Model, options: RunnerOptions, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_runner(tiny_model, options)
