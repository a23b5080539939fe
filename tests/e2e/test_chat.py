"""`barista chat` at a real terminal and in a pipe, on a real server: what it says is what the session draws."""
import pytest

from client import past_of
from conftest import DEMO
from server import CLI, Server, run, until
from terminal import CTRL_C, CTRL_D, ENTER, Terminal

FLAGS = ("--temperature=0", "--ignore_eos")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(DEMO, "--backend=cpu", "--sessions_max=8", f"--state_dir={tmp_path_factory.mktemp('states')}") as server:
        yield server


@pytest.fixture
def chat(server, tmp_path):
    """chat(*flags): a conversation with a home of this test's own."""
    def start(*flags):
        return Terminal(CLI, "chat", f"--server={server.address}", *FLAGS, *flags, HOME=str(tmp_path), XDG_STATE_HOME="")
    return start


def enter(terminal, line):
    terminal.see("> ")
    terminal.press(line, ENTER)


def leave(terminal):
    terminal.see("> ")
    terminal.press(CTRL_D)
    assert terminal.end() == 0


def answer(client, name, text, tokens):
    """What the session says to `text`."""
    client.append(name, text)
    return client.greedy(None, tokens, session=name).text


def test_a_conversation_is_the_sessions_own(chat, client):
    client.create_session("talk")
    twin = client.create_session("twin").name
    with chat("--session=talk", "--max_tokens=12") as terminal:
        terminal.see("sessions/talk at position 0")
        for line in ("def fibonacci(n):", "class Tree:"):
            enter(terminal, line)
            terminal.see(answer(client, twin, line, 12).replace("\n", "\r\n"))
        enter(terminal, "/more")
        terminal.see(client.greedy(None, 12, session=twin).text.replace("\n", "\r\n"))
        leave(terminal)
    assert past_of(client.export_session("sessions/talk")) == past_of(client.export_session(twin))


def test_ctrl_c_ends_an_answer_and_the_talk_goes_on(chat, client, server):
    name = client.create_session("long").name
    with chat("--session=long", "--max_tokens=1000000") as terminal:
        enter(terminal, "import os")
        until(lambda: server.metrics()["barista_num_requests_running"] > 0 and client.get_session(name).position > 20,
              what="the answer")
        terminal.press(CTRL_C)
        terminal.see("[interrupted; session at position ")
        stopped_at = client.get_session(name).position
        enter(terminal, "/set max_tokens 4")
        enter(terminal, "def f(x):")
        leave(terminal)
    read = len(client.tokenize("def f(x):").token_ids)
    assert client.get_session(name).position == stopped_at + read + 4


def test_fork_save_and_rewind_from_inside(chat, client):
    name = client.create_session("talk").name
    with chat("--session=talk", "--max_tokens=8") as terminal:
        enter(terminal, "def first():")
        enter(terminal, "/fork copy --repeat_parent")
        enter(terminal, "/save kept")
        enter(terminal, "def second():")
        enter(terminal, "/rewind turns 2")
        leave(terminal)
    client.restore("snapshots/kept", "again")
    texts = {client.greedy(None, 20, session=f"sessions/{i}").text for i in ("talk", "copy", "again")}
    assert len(texts) == 1 and client.get_session(name).position == client.get_session("sessions/copy").position


def test_a_pipe_is_answered_line_by_line(client, server):
    twin = client.create_session("twin").name
    lines = ["def fibonacci(n):", "class Tree:"]
    code, out, err = run(CLI, "chat", f"--server={server.address}", *FLAGS, "--max_tokens=8", "--quiet",
                         input="".join(f"{line}\n" for line in lines).encode())
    assert code == 0 and "sessions/" in err, err
    assert out.split("\n") == "\n".join(answer(client, twin, line, 8) for line in lines).split("\n") + [""]


def test_a_session_that_is_busy_or_missing_is_said_so(client, server):
    code, out, err = run(CLI, "chat", f"--server={server.address}", "--session=nobody", input=b"")
    assert (code, out) != (0, "") and "sessions/nobody" in err
