package storetest

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

func loading() []promise {
	return []promise{
		{"an empty store has a log without notifications, and nothing else", loadEmpty},
		{"it says where the store stands", loadAll},
		{"it remembers which message types are paused", loadPaused},
		{"numbers and sequences stay when all is forgotten", loadForgotten},
	}
}

func loadEmpty(b *bench) {
	snapshot := b.load()
	if snapshot.Log == 0 {
		b.Error("Log is 0")
	}
	b.equal("Load", snapshot, engine.Snapshot{Log: snapshot.Log, First: 1})
}

func loadAll(b *bench) {
	b.publish(2, 10)
	b.submitAll(2, keyed("k"))
	scheduled := b.submit(ofType("play"), due(b.in(time.Hour)))
	snapshot := b.load()
	b.equal("Load", snapshot, engine.Snapshot{
		Log: snapshot.Log, First: 1, Last: 2, LastSequence: scheduled.Sequence(), NextDue: b.in(time.Hour),
		Counts: map[string]engine.Counts{
			work:   {Queued: 2, Ready: 1, Bytes: 1024},
			"play": {Scheduled: 1, Bytes: 512},
		},
	})
	b.equal("Log", b.load().Log, snapshot.Log)
}

func loadForgotten(b *bench) {
	b.publish(3, 10)
	before := b.load()
	b.later(time.Hour)
	all := engine.Keep{Age: time.Minute}
	b.retain(engine.Retention{Succeeded: all, Log: all})
	b.equal("Load", b.load(), engine.Snapshot{Log: before.Log, First: 4, Last: 3, LastSequence: before.LastSequence})
	b.publish(1, 10)
	b.equal("First", b.load().First, 4)
}

func loadPaused(b *bench) {
	pause := func(messageType string, paused bool) engine.PauseChange {
		return engine.PauseChange{MessageType: messageType, Paused: paused}
	}
	b.commit(&engine.Group{Pauses: []engine.PauseChange{pause(work, true), pause("play", true), pause("rest", false)}})
	b.equal("Paused", b.load().Paused, []string{"play", work})
	b.commit(&engine.Group{Pauses: []engine.PauseChange{pause(work, false)}})
	b.equal("Paused after one goes on", b.load().Paused, []string{"play"})
	b.commit(&engine.Group{Pauses: []engine.PauseChange{pause("play", false), pause(work, false)}})
	b.equal("Paused after all go on", b.load().Paused, nil)
}
