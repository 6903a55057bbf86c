package engine

import (
	"context"
	"time"
)

// Store keeps messages and the notification log beyond the process, for one engine
// or for many at once. An engine without one keeps them in memory, within its bounds.
//
// Commit is called by one goroutine of an engine at a time, the other methods by any
// while it runs; several engines may share a store. Whoever opened a store closes it,
// after Drain of its engines. Package engine/storetest says what is expected of one,
// as tests.
type Store interface {
	// Commit makes the changes of g, all in one transaction, in the order in which
	// Group has its fields, and fills in what became of them. When it returns nil they
	// are as durable as Durability says. A change that cannot be made says so in its Err
	// and leaves the others alone.
	//
	// An error means that nothing was changed if it is ErrStorageFull, and that nobody
	// knows if it is another: the engine then goes on no more.
	Commit(ctx context.Context, g *Group) error
	// Load returns where the store stands. The engine calls it once, before all else.
	Load(ctx context.Context) (Snapshot, error)
	// Get returns a message without its data. Errors: ErrNotFound.
	Get(ctx context.Context, id ID) (StoredMessage, error)
	// List returns the messages that o selects, newest accepted first, without their
	// data and their results' data: at most o.Limit, which is at least 1, of those whose
	// ID's Sequence is less than o.Before. next continues the list as o.Before; 0 at the
	// end.
	List(ctx context.Context, o ListOptions) (page []StoredMessage, next uint64, err error)
	// Notifications returns what the log holds from a number on, in order: at most limit
	// of them, and after the first no more than about maxBytes of results. first is the
	// oldest number the log has, or one past its last: what is asked for before that is
	// gone.
	Notifications(ctx context.Context, from uint64, limit int, maxBytes int64) (page []Notification, first uint64, err error)
	// Retain takes one step towards what r allows: it forgets the oldest of what ended,
	// with all that belongs to it, and of the log, at most limit of both together. It waits
	// for Commit and Commit waits for it, so the steps are small.
	Retain(ctx context.Context, r Retention, now time.Time, limit int) (Retained, error)
	// Usage returns how much room the store takes and has left; it costs little. The
	// error is ErrStorageFull if new messages should be refused, before there is no room
	// for what must still be written.
	Usage() (Usage, error)
	// Durability is what Commit promises.
	Durability() Durability
}

// Durability is what an answered submission can rely on.
type Durability string

// What a message survives.
const (
	// DurabilityMemory: nothing; the message lives in the process.
	DurabilityMemory Durability = "memory"
	// DurabilityOS: the end of the process, but not of the machine.
	DurabilityOS Durability = "os"
	// DurabilityFsync: power loss; it was written to the disk and synced.
	DurabilityFsync Durability = "fsync"
	// DurabilityReplicated: the loss of the machine.
	DurabilityReplicated Durability = "replicated"
)

// Owner names an engine to a store shared by several: random, made anew by every
// New. The zero Owner names none.
type Owner uint64

// Group is what is committed together: changes, and what became of them.
type Group struct {
	// Owner is whose claims are settled and made.
	Owner Owner
	// Now is the time of the changes.
	Now time.Time
	// Lease, if it is set, is until when the owner holds what it has claimed and will
	// claim, from now on; after that others may Reclaim it. An owner that never set one
	// holds its claims until the store is opened again, if it is one that only a single
	// process can open, or else for ever.
	Lease time.Time

	// Pauses are remembered for Snapshot.Paused; the engine does the pausing.
	Pauses  []PauseChange
	Saves   []*SaveChange
	Settles []*SettleChange
	// Releases are ended messages with HoldKey: their keys are free now.
	Releases []ID
	// Refusals are notifications of messages that were not accepted.
	Refusals []*Notification
	Cancels  []*CancelChange
	Retries  []*RetryChange
	Submits  []*SubmitChange
	// Reclaim is how many messages at most are taken from owners whose lease is over:
	// they are queued again, with one more in Lost, and the attempt that was lost at the
	// end of Attempts.
	Reclaim int
	// Due is how many messages at most are looked at whose time has come: those past
	// their ExpiresAt expire, the others are queued.
	Due int
	// Resumes are attempts that go on, of those that were lost with their owner, also of
	// those that Reclaim just took.
	Resumes []*ResumeChange
	// Claims is what the owner takes to run; at most one of a type.
	Claims []*ClaimChange

	// Published is filled in with the notifications the changes brought, in order: of
	// every message that ended and has a response notification, and the Refusals. Their
	// numbers continue the log's without holes.
	Published []Notification
	// Ended is filled in with the messages that expired, without their data.
	Ended []StoredMessage
	// Counts is filled in for every message type that the group touched.
	Counts map[string]Counts
	// Reclaimed is how many Reclaim found: if that is all it was allowed, there may be
	// more.
	Reclaimed int
	// NextDue is when Due has something to do next; zero if nothing waits for a time.
	NextDue time.Time
}

// SubmitChange stores a new message.
type SubmitChange struct {
	// Message is in StateQueued, or in StateScheduled with its DueAt.
	Message StoredMessage
	// Claim asks that a queued message runs at once: it is then born in StateRunning,
	// claimed by the group's owner, as its attempt 1, unless its key is taken.
	Claim bool
	// IdempotencyKey is not empty if the message is to be stored once only. Fingerprint
	// tells whether another with the key is the same; the key is remembered until
	// Remember, and in any case until its message has ended, but never for longer than the
	// message is kept.
	IdempotencyKey string
	Fingerprint    [32]byte
	Remember       time.Time // zero: until the message has ended
	// ReplayOnly: nothing is stored, whatever the key is; Replay or Err is filled in as
	// if it were.
	ReplayOnly bool
	// Cursor is the log's last number at acceptance, for later replays.
	Cursor uint64

	// Claimed is filled in: Message is the owner's, to run.
	Claimed bool
	// Replay is filled in if the key is taken by the same submission, whose message it
	// tells; nothing is stored then.
	Replay *Replay
	// Err is filled in: ErrKeyReused if the key is taken by another submission; it names
	// that one's ID.
	Err error
}

// Replay is what an idempotency key remembers: a submission that was accepted.
type Replay struct {
	ID     ID
	State  State  // at acceptance
	Cursor uint64 // the SubmitChange's
}

// ClaimChange takes queued messages of a type to run: the highest priority first, of
// one priority the first that was queued. One behind a taken key is passed over; one
// past its ExpiresAt expires instead.
type ClaimChange struct {
	MessageType string
	Limit       int

	// Messages is filled in with what was claimed: in StateRunning, Attempt one higher, with
	// their data and their checkpoints.
	Messages []StoredMessage
}

// ResumeChange takes back a message whose attempt was lost with its owner, or left by it as
// it ended, while whoever ran it goes on. The message must wait, in StateQueued or
// StateRetrying, and the attempt must be its last: at the end of Attempts, where Reclaim put
// it, and Lost counts it, or where it has an Error with CodeLeftOutside. An attempt
// that was claimed since and did not begin, as Unstarted says, does not count.
//
// The message is then as if Reclaim had never been: in StateRunning at the same attempt,
// claimed by the group's owner, with StartedAt the attempt's, which is out of Attempts
// again, and of Lost and Uncounted.
type ResumeChange struct {
	ID      ID
	Attempt int

	// Message is filled in as it runs now, with its data and its checkpoint, unless Err is
	// set.
	Message StoredMessage
	// Err is filled in: ErrNotFound; ErrStale if the attempt cannot go on: it is not the last,
	// or was not lost, or the message has ended since, also if it was retried then; and if
	// it has CancelRequested, is past its ExpiresAt, or waits for its key.
	Err error
}

// SaveChange remembers a checkpoint of a message, in the place of an earlier one. It
// stays until the message ends, in whatever state, and comes with the message when that
// is claimed again, or its attempt goes on. The owner must have the message claimed, at this attempt.
type SaveChange struct {
	ID      ID
	Attempt int
	// Data is the checkpoint; nobody changes it any more.
	Data []byte

	// Err is filled in: ErrStale if the owner does not have the message at this attempt.
	Err error
}

// SettleChange ends an attempt. The owner must have the message claimed, at this
// attempt.
type SettleChange struct {
	ID      ID
	Attempt int
	// State is what follows: a terminal state, StateRetrying or StateScheduled with DueAt, or
	// StateQueued to give the message back. Unless it is terminal, the message is claimed no
	// more.
	State State
	// Unstarted: the attempt did not begin, so it is counted out again.
	Unstarted bool
	// Lost: whoever ran the attempt is gone, so it is one more in the message's Lost.
	Lost bool
	// HoldKey: the message ends, but what it ran goes on: its key stays taken until Releases
	// has it, or the owner's lease is over.
	HoldKey bool
	// DueAt is when a message that is put off is queued again.
	DueAt time.Time
	// StartedAt is the attempt's; FinishedAt is when it ended.
	StartedAt, FinishedAt time.Time
	// Uncounted and Attempts replace the message's; Attempts nil means that they stay.
	Uncounted int
	Attempts  []Attempt
	// Error and Result are the outcome's, in a terminal state.
	Error  *Error
	Result Result

	// Err is filled in: ErrStale if the owner does not have the message at this attempt.
	Err error
}

// CancelChange ends a message that nobody has claimed. One that is claimed has
// CancelRequested from then on, for its owner.
type CancelChange struct {
	ID    ID
	Error *Error

	// Message is filled in as it is now, without its data, unless Err is ErrNotFound.
	Message StoredMessage
	// Err is filled in: ErrNotFound, ErrTerminal, or ErrClaimed.
	Err error
}

// PauseChange is whether a message type is paused.
type PauseChange struct {
	MessageType string
	Paused      bool
}

// RetryChange queues an ended message again: without its error, its expiry and its
// CancelRequested, with Uncounted as many as it had attempts, and nothing in Lost.
type RetryChange struct {
	ID ID
	// Attempt is the message's last, as it was read: of two at once, one is made.
	Attempt int
	// Attempts replace the message's.
	Attempts []Attempt

	// Message is filled in as it is now, without its data, unless Err is ErrNotFound.
	Message StoredMessage
	// Err is filled in: ErrNotFound, ErrNotRetryable if it did not end or succeeded, or
	// ErrStale if it has another attempt.
	Err error
}

// StoredMessage is a message as a store keeps it. One that is returned without its data
// is without its Checkpoint too.
type StoredMessage struct {
	// Message is the submission, with its ID; Attempt is the latest, 0 before the first.
	Message
	State State
	// MessageBytes is the length of the data, also where the data is left out or was
	// dropped: of a message that succeeded.
	MessageBytes int
	// Size is what counts in queues' bounds in bytes.
	Size int64
	// Timeout and MaxAttempts are the submission's; 0 means the policy's.
	Timeout     time.Duration
	MaxAttempts int
	// QueuedAt is when it was queued last; zero before.
	QueuedAt time.Time
	// DueAt is set while it is put off. ExpiresAt is the submission's.
	DueAt, ExpiresAt time.Time
	// StartedAt is the latest attempt's, as far as the store was told; FinishedAt is set
	// in a terminal state.
	StartedAt, FinishedAt time.Time
	// Uncounted attempts do not count for MaxAttempts. Lost ones are among them: their
	// owner ended before they did.
	Uncounted, Lost int
	// CancelRequested: a CancelChange found it claimed. It stays until the message is
	// retried.
	CancelRequested bool
	// Attempts are the earlier ones that are remembered.
	Attempts []Attempt
	// Error and Result are set in terminal states. ResultBytes is the length of the
	// result's data, also where the data is left out.
	Error       *Error
	Result      Result
	ResultBytes int
}

// Snapshot is where a store stands.
type Snapshot struct {
	// Log names the notification log in cursors, for as long as the store lives; never 0.
	Log uint32
	// First is the oldest number the log has, or one past Last; Last is the newest ever
	// given, 0 before.
	First, Last uint64
	// LastSequence is the greatest Sequence of an ID that was ever stored, 0 before.
	LastSequence uint64
	// Paused has the message types whose last PauseChange paused them, sorted.
	Paused []string
	// Counts has all message types of which the store has messages that have not ended.
	Counts map[string]Counts
	// NextDue is as in Group.
	NextDue time.Time
}

// Counts counts a type's messages that have not ended. Stores count at changes, not
// rows.
type Counts struct {
	Scheduled, Queued, Retrying, Running int
	// Ready is how many of the queued ones can be claimed: those not behind their key.
	Ready int
	// Bytes is the Size of those scheduled, queued and retrying.
	Bytes int64
}

// Retention bounds what is kept of what has ended.
type Retention struct {
	// Succeeded, Failed, Cancelled and Expired bound messages by the state they ended in.
	Succeeded, Failed, Cancelled, Expired Keep
	// Log bounds the notification log.
	Log Keep
}

// Keep is a bound: for how long after its end something is kept, and how many bytes
// of the kind. Zero means no bound.
type Keep struct {
	Age   time.Duration
	Bytes int64
}

// Retained is what one step of Store.Retain came to.
type Retained struct {
	// Messages and Notifications are how many were forgotten.
	Messages, Notifications int
	// More: another step is to be taken at once.
	More bool
	// First is the oldest number the log has now, or one past its last.
	First uint64
	// Next is when something is too old next, if nothing more ends; zero if nothing.
	Next time.Time
}

// Usage is how much room a store takes and has, in bytes; 0 means unknown.
type Usage struct {
	// Used is what it takes on the disk, Free what is left there.
	Used, Free int64
}
