package metrics

// Every metric of the server, in one place. Units stand in the names. The label
// message_type only ever has registered types.
const (
	namespace = "activemessage_"

	nameBuildInfo              = namespace + "build_info"
	nameMessagesSubmitted      = namespace + "messages_submitted_total"
	nameMessagesRefused        = namespace + "messages_refused_total"
	nameTypeRefused            = namespace + "message_type_refused_total"
	nameMessagesQueued         = namespace + "messages_queued"
	nameMessagesQueuedBytes    = namespace + "messages_queued_bytes"
	nameMessagesScheduled      = namespace + "messages_scheduled"
	nameMessagesRetrying       = namespace + "messages_retrying"
	nameMessagesLost           = namespace + "messages_lost_total"
	nameRetries                = namespace + "retries_total"
	namePaused                 = namespace + "message_type_paused"
	nameHandlersRunning        = namespace + "handlers_running"
	nameHandlersStuck          = namespace + "handlers_stuck"
	nameConcurrency            = namespace + "concurrency"
	nameDraining               = namespace + "draining"
	nameOutcomes               = namespace + "outcomes_total"
	nameHandlerDuration        = namespace + "handler_duration_seconds"
	nameQueueWait              = namespace + "queue_wait_seconds"
	nameNotificationsPublished = namespace + "notifications_published_total"
	nameNotificationsDelivered = namespace + "notifications_delivered_total"
	nameNotificationGaps       = namespace + "notification_gaps_total"
	nameSubscriptions          = namespace + "subscriptions"
	nameConnections            = namespace + "websocket_connections"

	// Of workers outside of the server.
	nameWorkerSessions   = namespace + "worker_sessions"
	nameWorkerInstances  = namespace + "worker_instances"
	nameWorkerLeases     = namespace + "worker_leases_running"
	nameWorkerHandedBack = namespace + "worker_offers_handed_back_total"
	nameWorkerLost       = namespace + "worker_leases_lost_total"
	nameWorkerStale      = namespace + "worker_stale_reports_total"
	nameWorkerRefused    = namespace + "worker_hellos_refused_total"
	nameWorkerMalformed  = namespace + "worker_malformed_frames_total"
	nameWorkerReplaced   = namespace + "worker_sessions_replaced_total"
	nameWorkerDead       = namespace + "worker_sessions_dead_total"

	// Only with a configuration file.
	nameReloads  = namespace + "config_reloads_total"
	nameReloaded = namespace + "config_last_reload_success_timestamp_seconds"

	// Only with a store.
	nameStoreCommits                = namespace + "store_commits_total"
	nameStoreChanges                = namespace + "store_changes_total"
	nameStoreCommitDuration         = namespace + "store_commit_duration_seconds"
	nameStoreUsed                   = namespace + "store_used_bytes"
	nameStoreFree                   = namespace + "store_free_bytes"
	nameStoreFull                   = namespace + "store_full"
	nameStoreMessagesForgotten      = namespace + "store_messages_forgotten_total"
	nameStoreNotificationsForgotten = namespace + "store_notifications_forgotten_total"
)
