"""A measurement is made once, and threads over different lesions do not wait for each other."""

import threading

from radiomics_talent.features.ibsi.measured_once import MeasuredOnce


class Measured:
    made = 0
    barrier = threading.Barrier(2, timeout=5)

    @MeasuredOnce
    def once(self):
        """Count."""
        self.made += 1
        return self.made

    @MeasuredOnce
    def together(self):
        return self.barrier.wait()


def test_it_is_made_once():
    one = Measured()
    assert (one.once, one.once, one.made) == (1, 1, 1)
    assert Measured.once.__doc__ == "Count."


def test_two_objects_are_measured_side_by_side():
    """Each waits until the other is measured, too: with a lock for both, neither would end."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(Measured().together)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1]
