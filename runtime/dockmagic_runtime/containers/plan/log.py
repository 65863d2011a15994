"""Where the output of a container goes: the driver and its options, applied to the container."""

from __future__ import annotations

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.supervisor.logs.settings import LogFile, LogSettings


def log_settings(record: Record) -> LogSettings:
    """Computed at each start: the image's name and the container's may have changed."""
    driver, given = record.spec.log_driver, record.spec.log_options
    if driver == "json-file" and not given:  # the usual case needs none of what follows
        return LogSettings(file=LogFile())
    from dockmagic_runtime.supervisor.logs import journald, tags
    from dockmagic_runtime.supervisor.logs.options import log_options

    options = log_options(driver, given)
    subject = tags.LogSubject(
        id=record.id,
        name=record.name,
        image=record.spec.image,
        image_id=record.image_id,
        command=(*record.entrypoint, *record.command),
        env=record.env,
        labels=record.labels,
    )
    attributes = tags.attributes(given, subject)
    is_file = driver in ("json-file", "local")
    tag = tags.tag(given, subject, "" if is_file else tags.DEFAULT_TAG)
    if is_file and tag:
        attributes = dict(sorted({**attributes, "tag": tag}.items()))
    return LogSettings(
        file=LogFile(
            max_size=options.max_size,
            max_file=options.max_file,
            compress=options.compress,
            attributes=attributes,
        )
        if options.has_file
        else None,
        driver=driver if driver in ("journald", "syslog") else "",
        options=dict(given) if driver == "syslog" else {},
        tag=tag,
        fields=journald.fields(
            id=record.id,
            name=record.name,
            image=record.spec.image,
            tag=tag,
            attributes=attributes,
        )
        if driver == "journald"
        else {},
        buffer_size=options.buffer_size,
    )
