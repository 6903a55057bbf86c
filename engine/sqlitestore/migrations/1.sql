-- What the store knows besides its rows: one row, written with every commit that changes it.
CREATE TABLE head (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  log       INTEGER NOT NULL,            -- names the notification log
  last      INTEGER NOT NULL DEFAULT 0,  -- the log's newest number ever given
  sequence  INTEGER NOT NULL DEFAULT 0,  -- the greatest of all messages ever stored, as uint64
  place     INTEGER NOT NULL DEFAULT 0,  -- the last place in the queues given
  succeeded INTEGER NOT NULL DEFAULT 0,  -- bytes kept of what ended so
  failed    INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  expired   INTEGER NOT NULL DEFAULT 0,
  published INTEGER NOT NULL DEFAULT 0   -- bytes of the log
) STRICT;

-- Message types, and how many of their messages have not ended.
CREATE TABLE type (
  id        INTEGER PRIMARY KEY,
  name      TEXT    NOT NULL UNIQUE,
  scheduled INTEGER NOT NULL DEFAULT 0,
  queued    INTEGER NOT NULL DEFAULT 0,
  retrying  INTEGER NOT NULL DEFAULT 0,
  running   INTEGER NOT NULL DEFAULT 0,
  ready     INTEGER NOT NULL DEFAULT 0,
  bytes     INTEGER NOT NULL DEFAULT 0,
  paused    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Messages. seq and rest are the two halves of the ID. Times are nanoseconds since 1970. The
-- states: 1 scheduled, 2 retrying, 3 queued behind its key, 4 queued and ready, 5 running,
-- 6 succeeded, 7 failed, 8 cancelled, 9 expired. What is short and changes comes first.
CREATE TABLE message (
  seq           INTEGER PRIMARY KEY,
  rest          INTEGER NOT NULL,
  type          INTEGER NOT NULL,
  state         INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  uncounted     INTEGER NOT NULL,
  lost          INTEGER NOT NULL,
  priority      INTEGER NOT NULL,
  place         INTEGER,                 -- in the queue, when it was last in it: the order in which messages were queued
  accepted      INTEGER NOT NULL,
  queued        INTEGER,
  due           INTEGER,
  expires       INTEGER,
  started       INTEGER,
  finished      INTEGER,
  size          INTEGER NOT NULL,
  bytes         INTEGER NOT NULL,        -- the length of the data, also when that was dropped
  result_bytes  INTEGER NOT NULL DEFAULT 0,
  result_number INTEGER,                 -- the result is in large_result
  prefix        TEXT,
  key           TEXT,
  content_type  TEXT,
  result_type   TEXT,
  error_code    TEXT,
  error_message TEXT,
  idempotency   TEXT,                    -- its idempotency key
  origin        TEXT,                    -- JSON
  rare          TEXT,                    -- JSON: metadata, timeout, max_attempts
  attempts      TEXT,                    -- JSON
  cancel        INTEGER,                 -- 1: asked for while it ran
  large         INTEGER,                 -- 1: the data is in large_data
  data          BLOB,
  result        BLOB
) STRICT;

-- What is ready, in the order in which it is claimed, by type.
CREATE TABLE ready (
  queue   INTEGER NOT NULL,              -- the type
  rank    INTEGER NOT NULL,              -- the priority, negative
  turn    INTEGER NOT NULL,              -- the place
  message INTEGER NOT NULL,              -- its seq
  PRIMARY KEY (queue, rank, turn)
) STRICT, WITHOUT ROWID;

-- What is queued behind its key.
CREATE TABLE blocked (
  queue   INTEGER NOT NULL,
  behind  TEXT    NOT NULL,              -- the key
  turn    INTEGER NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (queue, behind, turn)
) STRICT, WITHOUT ROWID;

-- When what waits is due or expires, whichever is first.
CREATE TABLE wake (
  at      INTEGER NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (at, message)
) STRICT, WITHOUT ROWID;

-- Who has which messages claimed: a row for every commit that claimed some, until the last of
-- them was let go. What runs, and no later row names, is the owner's.
CREATE TABLE claim (
  number INTEGER PRIMARY KEY,
  owner  INTEGER NOT NULL,
  seqs   BLOB    NOT NULL                -- 8 bytes each, big endian
) STRICT;

-- What ended, for retention: a row for all that ended in one commit and state, until the last of
-- them is forgotten. It may name messages that were retried since.
CREATE TABLE ended (
  state    INTEGER NOT NULL,
  at       INTEGER NOT NULL,             -- the first end of the row
  seq      INTEGER NOT NULL,
  number   INTEGER NOT NULL,             -- a place that nothing else has
  messages BLOB    NOT NULL,             -- when they ended and their seqs, in order, 8 bytes each, big endian
  PRIMARY KEY (state, at, seq, number)
) STRICT, WITHOUT ROWID;

-- Data that is too long to be written again with every change of its message.
CREATE TABLE large_data (
  seq  INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- The notification log. It stands on its own: messages may be forgotten before it.
CREATE TABLE log (
  number        INTEGER PRIMARY KEY,
  seq           INTEGER NOT NULL,
  rest          INTEGER NOT NULL,
  state         INTEGER NOT NULL,
  time          INTEGER NOT NULL,
  size          INTEGER NOT NULL,        -- what it counts for in head.published
  type          TEXT    NOT NULL,        -- by name: one that was refused has no row in type
  prefix        TEXT    NOT NULL,
  error_code    TEXT,
  error_message TEXT,
  origin        TEXT,
  result_type   TEXT,
  large         INTEGER,                 -- 1: the result is in large_result
  result        BLOB
) STRICT;

-- Results that the log and the message share: whichever is forgotten last takes them away.
CREATE TABLE large_result (
  number INTEGER PRIMARY KEY,            -- the notification's
  data   BLOB NOT NULL
) STRICT;

-- Who has a key: the message that is first in its lane. owner is set if that has ended and what
-- it ran goes on.
CREATE TABLE lane (
  type   INTEGER NOT NULL,
  key    TEXT    NOT NULL,
  holder INTEGER NOT NULL,
  owner  INTEGER,
  PRIMARY KEY (type, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX lane_held ON lane (holder) WHERE owner IS NOT NULL;

-- What idempotency keys remember.
CREATE TABLE idempotency (
  key         TEXT    PRIMARY KEY,
  fingerprint BLOB    NOT NULL,
  seq         INTEGER NOT NULL,
  state       INTEGER NOT NULL,          -- at acceptance
  cursor      INTEGER NOT NULL,
  remember    INTEGER                    -- NULL: until the message has ended
) STRICT, WITHOUT ROWID;
