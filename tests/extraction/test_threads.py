import threading
import time

import pytest

from radiomics_talent.extraction import time_limit as limits
from radiomics_talent.extraction.threads import in_order
from radiomics_talent.extraction.time_limit import time_limit


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_the_order_of_the_pieces(threads):
    def piece(n):
        time.sleep(0.02 * (5 - n % 5))
        return n

    assert list(in_order((lambda n=n: piece(n) for n in range(12)), threads)) == list(range(12))


def test_pieces_are_made_only_when_a_thread_is_about_to_be_free():
    """A piece holds a lesion: with 2 threads no more than 4 are held (2 in work, 1 ready, 1 just made)."""
    held = 0
    most = 0
    lock = threading.Lock()

    def piece():
        nonlocal held
        time.sleep(0.01)
        with lock:
            held -= 1

    def pieces():
        nonlocal held, most
        for _ in range(20):
            with lock:
                held += 1
                most = max(most, held)
            yield piece

    assert len(list(in_order(pieces(), 2))) == 20
    assert 2 <= most <= 4


def test_one_thread_is_the_caller_s_own():
    assert set(in_order((threading.get_ident for _ in range(3)), 1)) == {threading.get_ident()}
    assert threading.get_ident() not in set(in_order((threading.get_ident for _ in range(3)), 2))


def test_an_exception_is_raised_in_its_place():
    def fail():
        raise ZeroDivisionError("of the third")

    results = in_order([lambda: 1, lambda: 2, fail, lambda: 4], 2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ZeroDivisionError, match="of the third"):
        next(results)


def test_the_timer_is_set_to_what_has_to_be_finished_first(monkeypatch):
    armed = []
    monkeypatch.setattr(limits.signal, "setitimer", lambda _, seconds: armed.append(seconds))
    with time_limit(100):
        with time_limit(10):
            pass
        with time_limit(None):
            pass
    assert armed == [
        pytest.approx(100, abs=1),
        pytest.approx(10, abs=1),
        pytest.approx(100, abs=1),
        0.0,
    ]
