"""The tables of a projection."""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
"""A file of another version is made anew."""

TABLES: Final = """
create table kinds (
    kind integer primary key,
    queue text not null,
    name text not null,
    unique (queue, name)
);
create table errors (error integer primary key, type text not null unique);
create table jobs (
    n integer primary key,
    hash integer not null,
    kind integer not null,
    partition integer not null,
    id text not null,
    key text,
    key_hash integer,
    parent text,
    sent_time integer not null,
    sent_offset integer not null,
    sent_due integer,
    sent_is_past integer not null,
    seen_in integer not null,
    seen_offset integer not null,
    seen_time integer not null,
    generation integer not null,
    run integer not null,
    seen_state integer not null,
    since integer not null,
    seen_due integer,
    unique_until integer not null,
    entry integer not null,
    attempts integer not null,
    error integer,
    message text,
    done integer,
    total integer,
    state integer not null,
    at integer not null,
    due integer,
    time integer not null
);
create index jobs_hash on jobs (hash);
create index jobs_kind on jobs (kind, state, at);
create index jobs_key on jobs (key_hash, state, at) where key_hash is not null;
create index jobs_error on jobs (error, state, at) where error is not null;
create index jobs_parent on jobs (parent, state, at) where parent is not null;
create index jobs_unsettled on jobs (kind, partition, sent_offset)
    where state <= 1 and sent_time > seen_time;
create index jobs_removed on jobs (kind, partition) where entry = 1;
create table counts (
    kind integer not null,
    state integer not null,
    number integer not null,
    primary key (kind, state)
) without rowid;
create table ends (  -- how many attempts and jobs ended how, by tens of seconds
    slot integer not null,
    kind integer not null,
    state integer not null,
    error integer not null,
    number integer not null,
    primary key (slot, kind, state, error)
) without rowid;
create table letters (  -- dead ones of no job: they could not be read
    n integer primary key,
    key blob not null unique,
    queue text not null,
    error text not null,
    message text not null,
    topic text not null,
    partition integer not null,
    offset integer not null,
    at integer not null
);
create index letters_at on letters (at);
create table asked (  -- commands that are not obeyed yet
    queue text not null,
    partition integer not null,
    offset integer not null,
    hash integer not null,  -- of the job's id
    name text not null,
    key text,
    id text not null,
    what text not null,
    due integer,
    at integer not null,
    primary key (queue, partition, offset)
) without rowid;
create index asked_hash on asked (hash);
create table obeyed (  -- up to where commands are
    queue text not null,
    partition integer not null,
    position integer not null,
    primary key (queue, partition)
) without rowid;
create table places (
    topic text not null,
    partition integer not null,
    position integer not null,  -- the offset to go on with
    epoch integer not null,
    primary key (topic, partition)
) without rowid;
create table meta (name text primary key, value text not null) without rowid;
create table commits (
    queue text not null,
    partition integer not null,
    position integer not null,
    primary key (queue, partition)
) without rowid;
"""
