"""The team of threads: counts, many callers, forks, resizing, exit, and the default count."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from cymlp.engine import processors, running, threads

needs_openmp = pytest.mark.skipif(not threads.openmp_enabled(), reason="built without OpenMP")
# LLVM's OpenMP never ends a thread that it has started; it keeps it asleep for later.
with open("/proc/self/maps") as maps:
    KEEPS_THREADS = "libomp" in maps.read()


@pytest.fixture(autouse=True)
def restored_setting():
    before = threads.get_num_threads()
    yield
    threads._allow_oversubscription(False)
    threads.set_num_threads(before)


def alive():
    return len(os.listdir("/proc/self/task"))


def alive_in_the_end(most):
    """How many threads are left, once there are no more than `most` or five seconds are over.

    A thread that has been joined is still there for a moment.
    """
    deadline = time.monotonic() + 5
    while alive() > most and time.monotonic() < deadline:
        time.sleep(0.001)
    return alive()


def run_python(code, timeout=60, **environment):
    """Run code in a fresh interpreter and return what it printed."""
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        timeout=timeout, env={**os.environ, **environment})
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


# ---- jobs and barriers ------------------------------------------------------------------------


@needs_openmp
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 33])
def test_every_thread_sees_what_the_others_wrote_before_a_barrier(count):
    threads._allow_oversubscription(True)
    threads.set_num_threads(count)
    assert threads._self_test(count, 300) == (count, 0)


@needs_openmp
def test_a_job_may_use_fewer_threads_than_the_team_has():
    threads._allow_oversubscription(True)
    threads.set_num_threads(5)
    for wanted in (5, 2, 1, 4, 3, 5, 9):
        assert threads._self_test(wanted, 50) == (min(wanted, 5), 0)


@needs_openmp
def test_a_job_started_from_within_a_job_runs_alone():
    threads._allow_oversubscription(True)
    threads.set_num_threads(3)
    assert threads._self_test(3, 50, nested=True) == (3, 0)


def test_never_more_threads_than_processors():
    threads.set_num_threads(1024)
    assert threads.get_num_threads() == 1024
    assert threads._effective_threads() <= processors.usable_processors()
    took_part, failures = threads._self_test(1024, 20)
    assert took_part == threads._effective_threads()
    assert failures == 0


def test_a_job_after_the_team_has_fallen_asleep():
    threads._allow_oversubscription(True)
    threads.set_num_threads(4)
    for _ in range(20):
        time.sleep(0.002)
        assert threads._self_test(4, 2)[1] == 0


# ---- many callers -----------------------------------------------------------------------------


def test_many_callers_get_right_results_and_few_threads():
    code = """
    import os, threading, time
    from cymlp.engine import threads
    threads._allow_oversubscription(True)
    threads.set_num_threads(3)
    before = len(os.listdir("/proc/self/task"))         # NumPy's BLAS may have its own
    callers, outcomes = 8, []
    def call():
        for _ in range(200):
            outcomes.append(threads._self_test(3, 10))
    started = [threading.Thread(target=call) for _ in range(callers)]
    for thread in started:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in started):
        most = max(most, len(os.listdir("/proc/self/task")))
        time.sleep(0.0005)
    assert len(outcomes) == 200 * callers
    assert all(took_part in (1, 3) or not threads.openmp_enabled() for took_part, _ in outcomes)
    assert not any(failures for _, failures in outcomes)
    assert most <= before + callers + 3 - 1, most
    """
    run_python(code)


@needs_openmp
def test_callers_that_come_and_go_share_one_team():
    threads._allow_oversubscription(True)
    threads.set_num_threads(4)
    threads._self_test(4, 1)
    before = alive()
    outcomes = []
    for _ in range(50):
        caller = threading.Thread(target=lambda: outcomes.append(threads._self_test(4, 5)))
        caller.start()
        caller.join()
    assert outcomes == [(4, 0)] * 50
    assert alive_in_the_end(before) <= before


# ---- resizing ---------------------------------------------------------------------------------


@needs_openmp
def test_the_old_team_leaves_when_the_count_changes():
    threads._allow_oversubscription(True)
    threads.set_num_threads(1)
    others = alive()
    for count in (2, 6, 3, 1, 4, 1):
        threads.set_num_threads(count)
        assert threads._self_test(count, 10) == (count, 0)
        if not KEEPS_THREADS:
            assert alive_in_the_end(others + count - 1) <= others + count - 1


@needs_openmp
def test_resizing_while_others_call():
    threads._allow_oversubscription(True)
    stop = threading.Event()
    failures = []

    def call():
        while not stop.is_set():
            failures.append(threads._self_test(4, 5)[1])

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for turn in range(200):
        threads.set_num_threads(1 + turn % 4)
    stop.set()
    for caller in callers:
        caller.join()
    assert failures and not any(failures)


# ---- fork -------------------------------------------------------------------------------------


def fork_and_check():
    """Fork; the child and a child of its own run jobs. Whether both ended well within 10 s."""
    generation = threads._fork_generation()
    child = os.fork()
    if child == 0:
        good = threads._self_test(4, 5) == (1, 0)
        good &= threads._effective_threads() == 1
        good &= threads._fork_generation() == generation + 1
        threads.set_num_threads(2)
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if threads._self_test(4, 5) == (1, 0) else 1)
        good &= os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if good else 1)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_hundred_forks_after_the_team_has_worked():
    threads._allow_oversubscription(True)
    threads.set_num_threads(4)
    for _ in range(100):
        threads._self_test(4, 2)
        assert fork_and_check()
    assert threads._self_test(4, 20)[1] == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_hundred_forks_from_a_second_thread_while_the_team_is_busy():
    threads._allow_oversubscription(True)
    threads.set_num_threads(3)
    good = []
    forker = threading.Thread(target=lambda: good.extend(fork_and_check() for _ in range(100)))
    forker.start()
    while forker.is_alive():
        assert threads._self_test(3, 50)[1] == 0
    assert good == [True] * 100


# ---- the process ------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [
    {}, {"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}, {"OMP_PROC_BIND": "true"},
    {"OMP_WAIT_POLICY": "active"}, {"OMP_MAX_ACTIVE_LEVELS": "0"}],
    ids=lambda environment: "-".join(environment) or "plain")
def test_the_process_exits_with_the_team_alive(environment):
    code = """
    from cymlp.engine import threads
    threads._allow_oversubscription(True)
    for count in (2, 4, 3):
        threads.set_num_threads(count)
        took_part, failures = threads._self_test(count, 50)
        assert 1 <= took_part <= count and failures == 0
    print("done")
    """
    assert run_python(code, **environment) == "done"


def test_signals_are_left_to_pythons_threads():
    code = """
    import os, signal, time
    from cymlp.engine import threads
    threads._allow_oversubscription(True)
    threads.set_num_threads(8)
    threads._self_test(8, 1)
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as status:
            blocked = int(next(line for line in status if line.startswith("SigBlk"))[7:], 16)
        if int(task) != os.getpid():
            assert blocked >> (signal.SIGINT - 1) & 1 and not blocked >> (signal.SIGSEGV - 1) & 1
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        print("interrupted")
    """
    assert run_python(code) == "interrupted"


# ---- the setting ------------------------------------------------------------------------------


@pytest.mark.parametrize("value, error", [
    (0, ValueError), (-1, ValueError), (1025, ValueError), (10**30, ValueError),
    (1.0, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)])
def test_a_bad_count_is_refused_and_changes_nothing(value, error):
    threads.set_num_threads(3)
    with pytest.raises(error, match="^n must be"):
        threads.set_num_threads(value)
    assert threads.get_num_threads() == 3


PRINT_COUNT = "from cymlp.engine import threads; print(threads.get_num_threads())"


@pytest.mark.parametrize("environment, expected", [
    ({"CYMLP_NUM_THREADS": "3"}, 3),
    ({"OMP_NUM_THREADS": "5"}, 5),
    ({"OMP_NUM_THREADS": " 6 , 2"}, 6),
    ({"CYMLP_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
    ({"CYMLP_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5)])
def test_the_environment_sets_the_default(environment, expected):
    assert int(run_python(PRINT_COUNT, **environment)) == expected


@pytest.mark.parametrize("value", ["zero", "0", "-2", "2.5", "99999"])
def test_a_bad_value_in_the_environment_is_ignored_with_a_warning(value, monkeypatch):
    monkeypatch.setenv("CYMLP_NUM_THREADS", value)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.warns(RuntimeWarning, match="CYMLP_NUM_THREADS.*is ignored"):
        assert processors.default_threads(1024) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinities")
def test_the_affinity_limits_the_default():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + PRINT_COUNT
    assert run_python(code, CYMLP_NUM_THREADS="", OMP_NUM_THREADS="") == "1"


@pytest.mark.parametrize("groups, files, expected", [
    ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "100000 100000\n"}, 1),
    ("0::/../../host\n", {"cpu.max": "100000 100000\n"}, 1),
    ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "100000\n",
                            "cpu/x/cpu.cfs_period_us": "100000\n"}, 1),
    ("4:cpu,cpuacct:/x\n", {"cpu/cpu.cfs_quota_us": "-1\n"}, None),
    ("3:memory:/x\n", {"cpu.max": "1 100000\n"}, None),
    ("0::/\n", {"cpu.max": "nonsense\n"}, None)])
def test_the_control_groups_quota_limits_the_default(tmp_path, groups, files, expected):
    path = tmp_path / "proc/self/cgroup"
    path.parent.mkdir(parents=True)
    path.write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    unlimited = min(os.cpu_count(), len(os.sched_getaffinity(0)))
    assert processors.usable_processors(tmp_path) == (expected or unlimited)


# ---- how many threads the clock chooses ---------------------------------------------------------


def course(one, several, calls=50_000):
    """(share of the calls on several threads, seconds of all, seconds if all were on one).

    `one` and `several` say what a call takes by its number.
    """
    spent, alone, number = 0.0, 0.0, 0

    def take(count):
        nonlocal spent, alone, number
        taken = several(number) if count > 1 else one(number)
        spent += taken
        alone += one(number)
        number += 1
        return taken

    chosen = running._chosen(take, calls)
    return sum(count > 1 for count in chosen) / calls, spent, alone


def now_and_then(usual, seconds, every):
    return lambda number: seconds if number % every == every - 1 else usual


def test_the_clock_chooses_what_is_faster():
    share, *_ = course(lambda number: 12e-6, lambda number: 8e-6)
    assert share > 0.98
    share, *_ = course(lambda number: 8e-6, lambda number: 12e-6)
    assert share < 0.02


@pytest.mark.parametrize("seconds, every", [
    (4e-3, 1), (12e-3, 2), (12e-3, 7), (12e-3, 40), (1e-3, 20)])
def test_threads_that_are_held_up_are_left_alone(seconds, every):
    """A slice of the system's time, taken from one of several, is no sign of long work."""
    _, spent, alone = course(lambda number: 12e-6, now_and_then(8e-6, seconds, every))
    assert spent < 1.15 * alone


def test_a_call_that_was_held_up_once_changes_little():
    late = now_and_then(12e-6, 5e-3, 2000)
    share, *_ = course(late, now_and_then(8e-6, 5e-3, 2000))
    assert share > 0.9
    share, spent, alone = course(late, lambda number: 60e-6)
    assert share < 0.02 and spent < 1.1 * alone


def test_what_has_changed_is_found_out_soon():
    """Several threads lose for about a second, then win."""
    share, *_ = course(
        lambda number: 12e-6, lambda number: 4e-3 if number < 80_000 else 8e-6, 160_000)
    assert 0.3 < share < 0.5


def test_long_calls_are_not_tried_on_one_thread():
    share, *_ = course(lambda number: 40e-3, lambda number: 20e-3, 1000)
    assert share == 1
    # These are not long enough, and the trials of one thread are few.
    share, *_ = course(lambda number: 10e-3, lambda number: 7e-3, 1000)
    assert share > 0.95
