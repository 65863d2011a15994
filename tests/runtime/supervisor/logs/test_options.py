"""`--log-opt`: what options mean, and what dockerd 20.10 and 28 say of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.supervisor.logs.options import LogOptions, log_options

LOCAL = LogOptions(max_size=20_000_000, max_file=5, compress=True)


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        ("json-file", {}, LogOptions()),
        (
            "json-file",
            {"max-size": "10m", "max-file": "3"},
            LogOptions(max_size=10_000_000, max_file=3),
        ),
        ("json-file", {"max-size": "10k"}, LogOptions(max_size=10_000)),
        ("json-file", {"max-size": "1.5GB"}, LogOptions(max_size=1_500_000_000)),
        ("json-file", {"max-size": "300"}, LogOptions(max_size=300)),
        (
            "json-file",
            {"max-size": "1k", "max-file": "2", "compress": "true"},
            LogOptions(max_size=1000, max_file=2, compress=True),
        ),
        ("json-file", {"mode": "non-blocking"}, LogOptions(buffer_size=1_048_576)),
        (
            "json-file",
            {"mode": "non-blocking", "max-buffer-size": "2m"},
            LogOptions(buffer_size=2_097_152),
        ),
        ("json-file", {"mode": "blocking", "cache-disabled": "true"}, LogOptions()),
        ("local", {}, LOCAL),
        ("local", {"max-file": "2"}, replace(LOCAL, max_file=2)),
        ("local", {"compress": "false"}, replace(LOCAL, compress=False)),
        ("syslog", {}, LOCAL),
        ("syslog", {"cache-disabled": "1"}, replace(LOCAL, has_file=False)),
        ("journald", {"cache-max-size": "1m"}, replace(LOCAL, max_size=1_000_000)),
        ("none", {}, LogOptions(has_file=False)),
    ],
)
def test_command_line_8_options(driver: str, options: dict[str, str], expected: LogOptions) -> None:
    assert log_options(driver, options) == expected


FAILED = "failed to initialize logging driver: "


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("nope", {}, "logger: no log driver named 'nope' is registered"),
        ("json-file", {"max-files": "3"}, "unknown log opt 'max-files' for json-file log driver"),
        ("local", {"labels": "a"}, "unknown log opt 'labels' for log driver local"),
        ("journald", {"max-size": "1m"}, "unknown log opt 'max-size' for journald log driver"),
        ("syslog", {"foo": "1"}, "unknown log opt 'foo' for syslog log driver"),
        ("none", {"max-size": "1k"}, "invalid logging opts for driver none"),
        ("json-file", {"max-size": "0"}, f"{FAILED}max-size must be a positive number"),
        ("json-file", {"max-size": "-1"}, f"{FAILED}invalid size: '-1'"),
        ("json-file", {"max-size": "x"}, f"{FAILED}invalid size: 'x'"),
        ("local", {"max-size": "x"}, f"{FAILED}invalid value for max-size: x: invalid size: 'x'"),
        ("json-file", {"max-file": "0"}, f"{FAILED}max-file cannot be less than 1"),
        (
            "json-file",
            {"max-file": "x"},
            f'{FAILED}strconv.Atoi: parsing "x": invalid syntax',
        ),
        (
            "json-file",
            {"compress": "x"},
            f'{FAILED}strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            "local",
            {"compress": "x"},
            f'{FAILED}error reading compress log option: strconv.ParseBool: parsing "x": '
            "invalid syntax",
        ),
        (
            "json-file",
            {"compress": "true"},
            f"{FAILED}compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
        (
            "json-file",
            {"max-buffer-size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "json-file",
            {"mode": "non-blocking", "max-buffer-size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        (
            "json-file",
            {"cache-disabled": "x"},
            "invalid value for option cache-disabled: x",
        ),
        (
            "json-file",
            {"tag": "{{.Nope}}"},
            f'{FAILED}template: log-tag:1:2: executing "log-tag" at <.Nope>: '
            "can't evaluate field Nope in type *logger.Info",
        ),
        ("json-file", {"tag": "a{{"}, f"{FAILED}template: log-tag:1: unclosed action"),
        (
            "json-file",
            {"tag": "{{.Name | nope}}"},
            f'{FAILED}template: log-tag:1: function "nope" not defined',
        ),
        (
            "syslog",
            {"syslog-address": "x"},
            "syslog-address should be in form proto://address, got x",
        ),
        (
            "syslog",
            {"syslog-address": "http://x"},
            "syslog-address should be in form proto://address, got http://x",
        ),
        (
            "syslog",
            {"syslog-address": "unix:///nosuch"},
            "stat /nosuch: no such file or directory",
        ),
        ("syslog", {"syslog-facility": "x"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "x"}, "Invalid syslog format"),
    ],
)
def test_command_line_8_what_docker_refuses(
    driver: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        log_options(driver, options)
    assert caught.value.message == message


@pytest.mark.parametrize("option", ["labels-regex", "env-regex"])
def test_an_expression_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(InvalidInput, match="error parsing regexp"):
        log_options("json-file", {option: "("})


def test_what_only_docker_has() -> None:
    with pytest.raises(Unsupported, match="is not supported"):
        log_options("fluentd", {})


def test_the_options_of_tls_are_known(tmp_path: Path) -> None:
    options = {
        "syslog-address": "tcp+tls://logs.example:6514",
        "syslog-tls-ca-cert": str(tmp_path / "ca.pem"),
        "syslog-tls-skip-verify": "true",
        "syslog-facility": "local3",
        "syslog-format": "rfc5424",
    }
    assert log_options("syslog", options).has_file
