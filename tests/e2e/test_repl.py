"""The REPL at a real terminal: editing, history, completion, and the keys that stop things."""
import pytest

from server import CLI, until
from terminal import CTRL_C, CTRL_D, CTRL_R, CTRL_Z, DELETE, END, ENTER, HOME, LEFT, TAB, UP, Terminal


@pytest.fixture
def repl(demo, tmp_path):
    """repl(): a REPL with a home of this test's own."""
    def start(**environment):
        return Terminal(CLI, "repl", f"--server={demo.address}", HOME=str(tmp_path),
                        **{"XDG_STATE_HOME": "", **environment})
    return start


@pytest.fixture
def ids(demo):
    """ids(text): what /tokens prints for it, so that a test sees which text arrived, byte by byte."""
    return lambda text: "\r\n" + ",".join(map(str, demo.client.tokenize(text).token_ids)) + "\r\n"


def enter(terminal, *keys, prompt="> "):
    """Waits for the prompt, for keys pressed earlier meet a terminal in another mode."""
    terminal.see(prompt)
    terminal.press(*keys, ENTER)


def leave(terminal):
    terminal.see("> ")
    terminal.press(CTRL_D)
    assert terminal.end() == 0


def test_a_line_can_be_edited(repl, ids):
    with repl() as terminal:
        enter(terminal, "/tokens hxllo wrld", LEFT * 3, "o", HOME + "\x1b[C" * 9, DELETE, "e", END, "!")
        terminal.see(ids("hello world!"))
        leave(terminal)


@pytest.mark.parametrize("language", ["", "C", "C.UTF-8"])
def test_characters_of_several_bytes_are_edited_whole(repl, ids, language):
    with repl(LC_ALL=language) as terminal:
        enter(terminal, "/tokens aé日🙂z", LEFT * 3, "\x7f", "ü")
        terminal.see(ids("aü日🙂z"))
        leave(terminal)


def test_history_holds_in_a_run_and_over_runs(repl, ids, tmp_path):
    with repl() as terminal:
        enter(terminal, "/tokens one ")
        terminal.see(ids("one "))
        enter(terminal, "/tokens two \\")
        enter(terminal, "  é", prompt="\n. ")
        terminal.see(ids("two \n  é"))
        enter(terminal, UP * 2)
        terminal.see(ids("one "))
        leave(terminal)
    history = tmp_path / ".local/state/barista/history"
    assert history.stat().st_mode & 0o777 == 0o600
    with repl() as terminal:
        enter(terminal, UP * 2)
        terminal.see(ids("two \n  é"))
        enter(terminal, CTRL_R, "one")
        terminal.see(ids("one "))
        leave(terminal)


def test_history_is_where_the_desktop_keeps_state_and_is_bounded(repl, ids, tmp_path):
    (tmp_path / "state/barista").mkdir(parents=True)
    history = tmp_path / "state/barista/history"
    history.write_text("_HiStOrY_V2_\n" + "".join(f"/tokens\\040{i}\n" for i in range(1500)))
    with repl(XDG_STATE_HOME=str(tmp_path / "state")) as terminal:
        enter(terminal, UP, "0")
        terminal.see(ids("14990"))
        leave(terminal)
    lines = history.read_text().splitlines()
    assert len(lines) == 1001 and lines[1].endswith("501") and not (tmp_path / ".local").exists()


def test_history_that_cannot_be_kept_is_no_trouble(repl, ids, tmp_path):
    (tmp_path / "file").write_text("")
    with repl(XDG_STATE_HOME=str(tmp_path / "file")) as terminal:
        enter(terminal, "/tokens a")
        assert "barista" not in terminal.see(ids("a"))
        leave(terminal)


def test_tab_completes_commands_and_parameters(repl, ids):
    with repl() as terminal:
        enter(terminal, "/tok", TAB, "a", TAB, "b")  # in a text it is a tab
        terminal.see(ids("a\tb"))
        terminal.see("> ")
        terminal.press("/set top", TAB, TAB)
        terminal.see("top_p \r\n")
        enter(terminal, "k", TAB, "7")
        enter(terminal, "/par", TAB)
        terminal.see('{"top_k":7}')
        enter(terminal, "/q", TAB)
        assert terminal.end() == 0


def test_ctrl_c_discards_the_line_and_what_it_would_have_joined(repl, ids):
    with repl() as terminal:
        terminal.see("> ")
        terminal.press("/tokens never", LEFT * 3, CTRL_C)
        terminal.see("^C\r\n")
        enter(terminal, "/tokens neither\\")
        terminal.see("\n. ")
        terminal.press(CTRL_C)
        terminal.see("^C\r\n")
        enter(terminal, "/tokens yes")
        terminal.see(ids("yes"))
        leave(terminal)


def test_ctrl_c_stops_a_continuation_and_nothing_else(repl, ids, demo):
    key = 'barista_requests_total{status="cancelled"}'
    before = demo.settled()[key]
    with repl() as terminal:
        for line in ("/set max_tokens 1000000", "/set ignore_eos true", "def f("):
            enter(terminal, line)
        until(lambda: demo.metrics()["barista_num_requests_running"] == 1, what="the call")
        terminal.press(CTRL_C)
        terminal.see("interrupted\r\n")
        until(lambda: demo.settled()[key] == before + 1, what="the cancelled call in the metrics")
        enter(terminal, "/tokens on")
        terminal.see(ids("on"))
        leave(terminal)


def test_ctrl_z_suspends_and_the_line_is_still_there(ids, demo, tmp_path):
    words = f'"{CLI}" repl --server={demo.address}; echo suspended; fg'
    with Terminal("bash", "-mc", words, HOME=str(tmp_path), XDG_STATE_HOME="") as terminal:
        terminal.see("> ")
        terminal.press("/tokens a", CTRL_Z)
        terminal.see("suspended\r\n")
        enter(terminal, "b")
        terminal.see(ids("ab"))
        leave(terminal)


def test_the_terminal_is_as_before_at_the_end(demo, tmp_path):
    words = f'before=$(stty -g); "{CLI}" --server={demo.address}; test "$before" = "$(stty -g)" && echo same'
    with Terminal("sh", "-c", words, HOME=str(tmp_path), XDG_STATE_HOME="") as terminal:
        enter(terminal, "/quit")
        terminal.see("same")


def test_output_that_is_no_terminal_gets_no_editing(demo, tmp_path):
    words = f'"{CLI}" repl --server={demo.address} --quiet | cat'
    with Terminal("sh", "-c", words, HOME=str(tmp_path), XDG_STATE_HOME="") as terminal:
        enter(terminal, "/set max_tokens 2")
        enter(terminal, "/params")
        terminal.see('{"max_tokens":2}')
        leave(terminal)
    assert not (tmp_path / ".local").exists()
