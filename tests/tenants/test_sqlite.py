from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from tenants import sqlite, sqlite_files
from tenants.errors import ReadOnlyDatabase, SchemaBehind, TenantUnavailable
from tenants.sqlite import make_engine, sync_later
from tenants.sqlite_files import check_folder, copy_template, file_identity, read_schema_version
from tests.tenants.world import in_children, open_files_under

_opened: list[Engine] = []


def engine_on(path: Path, schema_version: int, check: Callable[[sqlite3.Connection], None]) -> Engine:
    engine = make_engine(path, schema_version, check)
    _opened.append(engine)
    return engine


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().dispose()


def no_check(_connection: sqlite3.Connection) -> None:
    pass


def make_file(path: Path, value: str = "old", version: int = 3) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_file(tmp_path / "one?%41 #.sqlite3")


@pytest.fixture
def engine(path: Path) -> Engine:
    return engine_on(path, 3, no_check)


def read(engine: Engine) -> str:
    with engine.connect() as connection:
        value: str = connection.execute(text("SELECT x FROM t")).scalar_one()
        return value


def write(engine: Engine, value: str) -> None:
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("UPDATE t SET x = :x"), {"x": value})


def test_a_file_with_any_name_is_opened_and_no_other(engine: Engine, path: Path) -> None:
    assert read(engine) == "old"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA database_list").one()[2] == str(path)
    assert {name.removeprefix(path.name) for name in os.listdir(path.parent)} <= {"", "-wal", "-shm"}


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(TenantUnavailable, match="missing"):
        read(engine_on(tmp_path / "none", 0, no_check))
    assert os.listdir(tmp_path) == []


def test_a_folder_or_a_link_is_no_database(tmp_path: Path, path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(TenantUnavailable, match="not a regular file"):
            read(engine_on(tmp_path / name, 0, no_check))


def test_a_file_that_vanishes_while_it_is_opened_is_unavailable(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "file_identity", lambda _path: (0, 0))
    with pytest.raises(TenantUnavailable, match="cannot be opened"):
        read(engine_on(tmp_path / "none", 0, no_check))


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"not a database, whatever its name says" * 100])
def test_an_empty_or_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TenantUnavailable):
        read(engine_on(tmp_path / "file", 1, no_check))


@pytest.mark.parametrize("length", [100, 4000, 4096, 5000, 8191])
def test_a_file_cut_off_anywhere_is_unavailable(path: Path, length: int) -> None:
    # Cut in the middle of a page, SQLite answered with NULLs.
    os.truncate(path, length)
    with pytest.raises(TenantUnavailable):
        read(engine_on(path, 3, no_check))


def test_damage_under_a_kept_connection_is_unavailable(tmp_path: Path) -> None:
    path = make_file(tmp_path / "file", "x" * 100_000)
    engine = engine_on(path, 3, no_check)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(90_000))
    with pytest.raises(TenantUnavailable, match="malformed"):
        read(engine)


def test_an_older_schema_is_refused_and_a_newer_one_served(path: Path) -> None:
    with pytest.raises(SchemaBehind, match="has schema 3, this code needs 4"):
        read(engine_on(path, 4, no_check))
    assert read(engine_on(path, 2, no_check)) == "old"


def test_a_refusing_check_closes_the_connection(path: Path) -> None:
    def refuse(_connection: sqlite3.Connection) -> None:
        raise TenantUnavailable("no")

    with pytest.raises(TenantUnavailable, match="no"):
        read(engine_on(path, 3, refuse))
    assert open_files_under(path.parent) == []


def test_attach_is_refused(engine: Engine, path: Path) -> None:
    other = make_file(path.parent / "other", "theirs")
    with engine.connect() as connection, pytest.raises(DatabaseError, match="too many attached databases"):
        connection.execute(text("ATTACH :path AS other"), {"path": str(other)})


def test_extensions_cannot_be_loaded(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DatabaseError, match="not authorized"):
        connection.execute(text("SELECT load_extension('x')"))


def test_connections_are_hardened(engine: Engine) -> None:
    with engine.connect() as connection:
        for pragma, value in [("foreign_keys", 1), ("synchronous", 2), ("trusted_schema", 0), ("secure_delete", 1)]:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


@pytest.mark.parametrize(
    "statement",
    ["UPDATE t SET x = 'new'", "DELETE FROM t", "CREATE TABLE u (x)", "DROP TABLE t", "PRAGMA user_version=9"],
)
def test_a_connection_that_did_not_ask_to_write_cannot(engine: Engine, path: Path, statement: str) -> None:
    write(engine, "newer")
    with engine.connect() as connection, pytest.raises(ReadOnlyDatabase):
        connection.exec_driver_sql(statement)
    write(engine, "newest")
    assert read(engine) == "newest"


def test_a_writer_holds_the_lock_from_its_beginning_and_readers_go_on(engine: Engine) -> None:
    writer = engine.execution_options(writing=True)
    with writer.begin() as first:
        first.execute(text("SELECT 1"))
        assert read(engine) == "old"
        with engine.connect() as connection:
            assert connection.connection.dbapi_connection is not None
        raw = sqlite3.connect(engine_path(engine), isolation_level=None, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            raw.execute("BEGIN IMMEDIATE")
        raw.close()


def engine_path(engine: Engine) -> str:
    with engine.connect() as connection:
        path: str = connection.exec_driver_sql("PRAGMA database_list").one()[2]
        return path


def test_a_lock_that_is_never_given_back_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT_SECONDS", 0.05)
    engine, other = engine_on(path, 3, no_check), sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TenantUnavailable, match="locked"):
        write(engine, "new")
    other.close()
    write(engine, "new")
    assert read(engine) == "new"


def test_a_mistake_in_a_statement_stays_the_programs_own(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DatabaseError, match="no such table"):
        connection.execute(text("SELECT * FROM absent"))


def test_beginning_twice_is_the_programs_own_mistake(engine: Engine) -> None:
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.cursor().execute("BEGIN")
        with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
            connection.execute(text("SELECT 1"))


def test_a_file_replaced_under_a_kept_connection_is_noticed(engine: Engine, path: Path) -> None:
    assert read(engine) == "old"
    for suffix in sqlite_files.SIDE_FILES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.replace(make_file(path.parent / "other", "restored"), path)
    assert read(engine) == "restored"


def test_a_file_removed_under_a_kept_connection_is_noticed(engine: Engine, path: Path) -> None:
    assert read(engine) == "old"
    path.unlink()
    with pytest.raises(TenantUnavailable, match="missing"):
        read(engine)


def test_engines_share_compiled_statements(path: Path) -> None:
    other = make_file(path.parent / "other", "theirs")
    statement = text("SELECT x AS shared FROM t")
    before = len(sqlite._compiled_statements)
    for file in (path, other):
        with engine_on(file, 3, no_check).connect() as connection:
            connection.execute(statement)
    assert len(sqlite._compiled_statements) == before + 1


@pytest.mark.parametrize("suffix", ["", *sqlite_files.SIDE_FILES])
def test_a_leftover_beside_a_new_copy_is_refused(path: Path, suffix: str) -> None:
    target = path.parent / "new.sqlite3"
    Path(f"{target}{suffix}").symlink_to("nowhere")
    with pytest.raises(TenantUnavailable, match="in the way"):
        copy_template(path, target)
    assert suffix == "" or not target.exists()


def test_a_stale_log_would_bring_another_tenants_rows_back(tmp_path: Path) -> None:
    one = make_file(tmp_path / "one", "template")
    target = tmp_path / "two"
    copy_template(one, target)
    connection = sqlite3.connect(target)
    connection.execute("UPDATE t SET x = 'secret of the old tenant'")
    connection.commit()
    stale = Path(f"{target}-wal").read_bytes()
    connection.close()
    target.unlink()
    Path(f"{target}-wal").write_bytes(stale)
    with pytest.raises(TenantUnavailable, match="-wal is in the way"):
        copy_template(one, target)
    # What the refusal is for: without it, the new database would answer with the old one's row.
    shutil.copy(one, target)
    assert read(engine_on(target, 3, no_check)) == "secret of the old tenant"


def test_a_copy_is_private_and_whole(path: Path) -> None:
    target = path.parent / "new.sqlite3"
    copy_template(path, target)
    assert target.read_bytes() == path.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert read(engine_on(target, 3, sync_later)) == "old"


def test_the_schema_version_is_read_without_opening(path: Path) -> None:
    assert read_schema_version(path) == 3


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 100])
def test_no_schema_version_is_read_from_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TenantUnavailable, match="not an SQLite file"):
        read_schema_version(tmp_path / "file")


def test_no_schema_version_is_read_from_a_missing_or_unreadable_file(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TenantUnavailable, match="missing"):
        read_schema_version(tmp_path / "none")
    monkeypatch.setattr(sqlite_files, "file_identity", lambda _path: (0, 0))
    with pytest.raises(TenantUnavailable, match="cannot be read"):
        read_schema_version(tmp_path / "none")


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda folder: None, "missing"),
        (lambda folder: folder.write_text(""), "not a folder"),
        (lambda folder: folder.symlink_to(folder.parent), "not a folder"),
        (lambda folder: (folder.mkdir(), folder.chmod(0o710)), "open to others"),
        (lambda folder: (folder.mkdir(), folder.chmod(0o701)), "open to others"),
    ],
)
def test_only_a_real_and_private_folder_passes(tmp_path: Path, prepare: Callable[[Path], object], why: str) -> None:
    prepare(tmp_path / "folder")
    with pytest.raises(TenantUnavailable, match=why):
        check_folder(tmp_path / "folder")
    (tmp_path / "good").mkdir(mode=0o700)
    check_folder(tmp_path / "good")
    assert file_identity(make_file(tmp_path / "good" / "file"))


def test_a_child_process_inherits_no_open_database(engine: Engine, path: Path) -> None:
    # An inherited connection made the child believe it held its parent's locks: either could destroy the file.
    assert read(engine) == "old"
    assert open_files_under(path.parent)

    def in_child() -> tuple[list[str], str]:
        inherited = open_files_under(path.parent)
        write(engine, "from the child")
        return inherited, read(engine)

    assert in_children([in_child]) == [([], "from the child")]
    assert read(engine) == "from the child"
    write(engine, "from the parent")
    assert read(engine) == "from the parent"


def test_a_file_in_use_at_a_fork_is_closed_when_it_is_given_back(engine: Engine, path: Path) -> None:
    # Its pool had been forgotten meanwhile: it stayed open until the garbage collector came by.
    with engine.connect() as connection:
        in_children([lambda: None])
        assert connection.execute(text("SELECT x FROM t")).scalar_one() == "old"
    assert open_files_under(path.parent) == []
    assert read(engine) == "old"


def test_a_writer_that_waited_while_the_file_was_replaced_is_refused(path: Path) -> None:
    # It held a connection already when the file was moved away: what it wrote would have been lost with the old one.
    engine = engine_on(path, 3, no_check)
    with engine.execution_options(writing=True).connect() as writer:
        shutil.copy(path, path.with_name("new"))
        path.with_name("new").replace(path)
        with pytest.raises(TenantUnavailable, match="replaced"):
            writer.execute(text("SELECT x FROM t"))
    with engine.execution_options(writing=True).connect() as writer:
        writer.execute(text("SELECT x FROM t"))
