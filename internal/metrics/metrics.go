// Package metrics shows an engine's counters to Prometheus. It reads them when it
// is scraped, so that a message costs nothing for being counted twice.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

// Source is what is shown.
type Source struct {
	// Engine returns the engine's counters.
	Engine func() engine.Stats
	// Connections returns how many WebSockets of subscribers are open.
	Connections func() int
	// Workers returns the counters of the workers outside; nil if there can be none.
	Workers func() remote.Stats
	// Version is the server's.
	Version string
	// Reloads returns what became of reloads; nil without a configuration file.
	Reloads func() Reloads
}

// Reloads is how often the configuration was read again.
type Reloads struct {
	// Succeeded and Failed count; one that failed changed nothing.
	Succeeded, Failed uint64
	// LastSuccess is when the one in force was read.
	LastSuccess time.Time
}

// Handler returns the scrape endpoint, over a registry of its own, with the Go
// runtime's and the process's metrics.
func Handler(s Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(s),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector makes metrics of a snapshot.
type collector struct {
	source Source
	descs  map[string]*prometheus.Desc
}

func newCollector(s Source) *collector {
	c := &collector{source: s, descs: make(map[string]*prometheus.Desc)}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{nameBuildInfo, "1, labelled by the server's version.", []string{"version"}},
		{nameMessagesSubmitted, "Messages accepted.", []string{"message_type"}},
		{nameMessagesRefused, "Messages refused, by reason.", []string{"reason"}},
		{nameTypeRefused, "Messages of registered types refused, by type and reason.", []string{"message_type", "reason"}},
		{nameMessagesQueued, "Messages waiting for a slot.", []string{"message_type"}},
		{nameMessagesQueuedBytes, "Bytes held by queued, scheduled and retrying messages.", []string{"message_type"}},
		{nameMessagesScheduled, "Messages waiting for their time.", []string{"message_type"}},
		{nameMessagesRetrying, "Messages waiting for another attempt.", []string{"message_type"}},
		{nameMessagesLost, "Attempts that ended with the server, or the worker outside, that ran them.", []string{"message_type"}},
		{nameRetries, "Attempts after which another one followed.", []string{"message_type"}},
		{namePaused, "1 while the message type is paused.", []string{"message_type"}},
		{nameHandlersRunning, "Attempts running: handlers, stuck ones included, and what runs outside of the server.", []string{"message_type"}},
		{nameHandlersStuck, "Handlers running on after their message went on without them.", []string{"message_type"}},
		{nameConcurrency, "The bound of handlers that run in the server.", nil},
		{nameDraining, "1 while the server drains.", nil},
		{nameOutcomes, "Messages ended, by terminal state.", []string{"message_type", "state"}},
		{nameHandlerDuration, "How long handlers ran.", []string{"message_type"}},
		{nameQueueWait, "How long messages waited from when they were queued to their attempt's start.", []string{"message_type"}},
		{nameNotificationsPublished, "Notifications published.", nil},
		{nameNotificationsDelivered, "Notifications read by subscriptions.", nil},
		{nameNotificationGaps, "Times a subscription was told that it missed notifications.", nil},
		{nameSubscriptions, "Open subscriptions.", nil},
		{nameConnections, "Open WebSockets of subscribers.", nil},
		{nameWorkerSessions, "Workers with a session: connected, or taking by HTTP.", nil},
		{nameWorkerInstances, "Workers that have a session, or leases.", nil},
		{nameWorkerLeases, "Leases that workers run.", nil},
		{nameWorkerHandedBack, "Offers that workers did not ack.", nil},
		{nameWorkerLost, "Leases that ended without a word, or that a worker no longer listed.", nil},
		{nameWorkerStale, "Reports of leases that the worker did not have.", nil},
		{nameWorkerRefused, "Hellos refused.", nil},
		{nameWorkerMalformed, "Frames and bodies of workers that could not be read.", nil},
		{nameWorkerReplaced, "Sessions that ended because their worker came again.", nil},
		{nameWorkerDead, "Sessions that ended because nothing was heard any more.", nil},
		{nameStoreCommits, "Groups of changes committed to the store.", nil},
		{nameStoreChanges, "Changes committed to the store: submissions, claims, outcomes.", nil},
		{nameStoreCommitDuration, "How long the store took to commit a group.", nil},
		{nameStoreUsed, "Bytes that the store takes; absent if it is not known.", nil},
		{nameStoreFree, "Bytes that are left for the store; absent if it is not known.", nil},
		{nameStoreFull, "1 while messages are refused because the store has no room.", nil},
		{nameStoreMessagesForgotten, "Ended messages that retention took away.", nil},
		{nameStoreNotificationsForgotten, "Notifications that retention took away.", nil},
		{nameReloads, "Times the configuration was read again, by result; one that failed changed nothing.", []string{"result"}},
		{nameReloaded, "When the configuration in force was read.", nil},
	} {
		c.descs[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return c
}

// Describe sends the descriptions.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect sends one snapshot.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s, o := c.source.Engine(), scrape{c.descs, out}
	o.gauge(nameBuildInfo, 1, c.source.Version)
	for reason, n := range s.Refused {
		o.counter(nameMessagesRefused, n, string(reason))
	}
	o.gauge(nameConcurrency, float64(s.Concurrency))
	o.gauge(nameDraining, boolean(s.Draining))
	o.counter(nameNotificationsPublished, s.Published)
	o.counter(nameNotificationsDelivered, s.Delivered)
	o.counter(nameNotificationGaps, s.Gaps)
	o.gauge(nameSubscriptions, float64(s.Subscriptions))
	o.gauge(nameConnections, float64(c.source.Connections()))
	for name, t := range s.Types {
		o.messageType(name, &t)
	}
	if c.source.Reloads != nil {
		reloads := c.source.Reloads()
		o.counter(nameReloads, reloads.Succeeded, "ok")
		o.counter(nameReloads, reloads.Failed, "failed")
		o.gauge(nameReloaded, float64(reloads.LastSuccess.UnixMilli())/1000)
	}
	if c.source.Workers != nil {
		o.workers(c.source.Workers())
	}
	if s.Store != nil {
		o.store(s.Store)
	}
}

// scrape is where one snapshot goes.
type scrape struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

func (o scrape) counter(name string, value uint64, labels ...string) {
	o.out <- prometheus.MustNewConstMetric(o.descs[name], prometheus.CounterValue, float64(value), labels...)
}

func (o scrape) gauge(name string, value float64, labels ...string) {
	o.out <- prometheus.MustNewConstMetric(o.descs[name], prometheus.GaugeValue, value, labels...)
}

// histogram turns counts per bucket into Prometheus' cumulative ones.
func (o scrape) histogram(name string, h engine.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var sum uint64
	for i, bound := range h.Bounds {
		sum += h.Counts[i]
		buckets[bound.Seconds()] = sum
	}
	o.out <- prometheus.MustNewConstHistogram(o.descs[name], h.Count, h.Sum.Seconds(), buckets, labels...)
}

func (o scrape) messageType(name string, t *engine.TypeStats) {
	o.counter(nameMessagesSubmitted, t.Submitted, name)
	for reason, n := range t.Refused {
		o.counter(nameTypeRefused, n, name, string(reason))
	}
	o.gauge(nameMessagesQueued, float64(t.Queued), name)
	o.gauge(nameMessagesQueuedBytes, float64(t.QueuedBytes), name)
	o.gauge(nameMessagesScheduled, float64(t.Scheduled), name)
	o.gauge(nameMessagesRetrying, float64(t.Retrying), name)
	o.counter(nameMessagesLost, t.Lost, name)
	o.counter(nameRetries, t.Retries, name)
	o.gauge(namePaused, boolean(t.Policy.Paused), name)
	o.gauge(nameHandlersRunning, float64(t.Running), name)
	o.gauge(nameHandlersStuck, float64(t.Stuck), name)
	for state, n := range t.Outcomes {
		o.counter(nameOutcomes, n, name, string(state))
	}
	o.histogram(nameHandlerDuration, t.HandlerDuration, name)
	o.histogram(nameQueueWait, t.QueueWait, name)
}

func (o scrape) workers(s remote.Stats) {
	o.gauge(nameWorkerSessions, float64(s.Sessions))
	o.gauge(nameWorkerInstances, float64(s.Instances))
	o.gauge(nameWorkerLeases, float64(s.Leases))
	o.counter(nameWorkerHandedBack, s.HandedBack)
	o.counter(nameWorkerLost, s.Lost)
	o.counter(nameWorkerStale, s.Stale)
	o.counter(nameWorkerRefused, s.Refused)
	o.counter(nameWorkerMalformed, s.Malformed)
	o.counter(nameWorkerReplaced, s.Replaced)
	o.counter(nameWorkerDead, s.Dead)
}

func (o scrape) store(s *engine.StoreStats) {
	o.counter(nameStoreCommits, s.Commits)
	o.counter(nameStoreChanges, s.Changes)
	o.histogram(nameStoreCommitDuration, s.CommitDuration)
	for name, bytes := range map[string]int64{nameStoreUsed: s.Usage.Used, nameStoreFree: s.Usage.Free} {
		if bytes > 0 { // 0 means unknown, and would set off every alarm
			o.gauge(name, float64(bytes))
		}
	}
	o.gauge(nameStoreFull, boolean(s.Full))
	o.counter(nameStoreMessagesForgotten, s.Forgotten)
	o.counter(nameStoreNotificationsForgotten, s.ForgottenNotifications)
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
