"""Worked solutions are true, and a corrupted one is false in one step alone."""

from evaluation.reasoning.worked import corrupted, read_steps, worked


def test_a_solution_is_true_and_a_corrupted_one_is_false_in_one_step() -> None:
    for one in worked(40, seed=3):
        assert all(step.holds for step in one.steps)
        assert read_steps(one.text) == [*one.steps]
        assert str(one.start) in one.question
        for at in range(len(one.steps)):
            wrong = corrupted(one, at)
            assert [step.holds for step in wrong.steps] == [k != at for k in range(len(one.steps))]
            assert wrong.lines(at) == one.lines(at)
            assert wrong.answer != one.answer
            assert wrong.question == one.question
    assert worked(3, seed=3) == worked(40, seed=3)[:3] != worked(3, seed=4)
