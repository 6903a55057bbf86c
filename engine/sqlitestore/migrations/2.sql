-- What attempts saved for the next one, of messages that have not ended. All of them are here: they
-- are written more often than their messages' rows, and need not be written with those.
CREATE TABLE checkpoint (
  seq  INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

ALTER TABLE message ADD COLUMN saved INTEGER; -- 1: it has a checkpoint
