//! What is scraped in each case. Time begins at the Unix epoch there.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        alert: "OpgateDown",
        every: 1,
        minutes: 5,
        fires: &[(r#"up{job="opgate",instance="a"}"#, "0x10")],
        silent: &[(r#"up{job="opgate",instance="a"}"#, "1x10")],
    },
    Case {
        alert: "OpgateAbsent",
        every: 1,
        minutes: 10,
        fires: &[(r#"up{job="another",instance="a"}"#, "1x15")],
        silent: &[(r#"up{job="opgate",instance="a"}"#, "0x15")],
    },
    Case {
        alert: "OpgateNotReady",
        every: 1,
        minutes: 10,
        fires: &[
            (r#"opgate_ready{job="opgate",instance="a"}"#, "0x15"),
            (r#"opgate_draining{job="opgate",instance="a"}"#, "0x15"),
        ],
        silent: &[
            (r#"opgate_ready{job="opgate",instance="a"}"#, "0x15"),
            (r#"opgate_draining{job="opgate",instance="a"}"#, "1x15"),
        ],
    },
    Case {
        alert: "OpgateFlapping",
        every: 1,
        minutes: 15,
        fires: &[(r#"opgate_ready{job="opgate",instance="a"}"#, "1 0 1 0 1 0 1x20")],
        silent: &[(r#"opgate_ready{job="opgate",instance="a"}"#, "1x5 0 1x20")],
    },
    Case {
        alert: "OpgateRestarting",
        every: 1,
        minutes: 30,
        fires: &[
            (r#"process_start_time_seconds{job="opgate",instance="a"}"#, "1x5 2x5 3x5 4x5 5x10"),
            (r#"opgate_build_info{job="opgate",instance="a",version="1"}"#, "1x40"),
        ],
        silent: &[
            (r#"process_start_time_seconds{job="another",instance="a"}"#, "1x5 2x5 3x5 4x5 5x10"),
            (r#"opgate_build_info{job="opgate",instance="a",version="1"}"#, "1x40"),
        ],
    },
    Case {
        alert: "OpgateDrainStuck",
        every: 1,
        minutes: 20,
        fires: &[(r#"opgate_draining{job="opgate",instance="a"}"#, "1x30")],
        silent: &[(r#"opgate_draining{job="opgate",instance="a"}"#, "1x10 0x20")],
    },
    Case {
        alert: "OpgateErrorBudgetFast",
        every: 1,
        minutes: 70,
        fires: &[
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="OK"}"#,
                "0+98x80",
            ),
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="INTERNAL"}"#,
                "0+2x80",
            ),
        ],
        silent: &[
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="OK"}"#,
                "0+90x80",
            ),
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="INTERNAL"}"#,
                "0+0x80",
            ),
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="NOT_FOUND"}"#,
                "0+10x80",
            ),
        ],
    },
    Case {
        alert: "OpgateErrorBudgetSlow",
        every: 1,
        minutes: 400,
        fires: &[
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="OK"}"#,
                "0+990x400",
            ),
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="UNAVAILABLE"}"#,
                "0+10x400",
            ),
        ],
        silent: &[
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="OK"}"#,
                "0+999x400",
            ),
            (
                r#"opgate_requests_total{job="opgate",instance="a",protocol="grpc",method="get",code="UNAVAILABLE"}"#,
                "0+1x400",
            ),
        ],
    },
    Case {
        alert: "OpgateJournalNotWritable",
        every: 1,
        minutes: 3,
        fires: &[(r#"opgate_journal_writable{job="opgate",instance="a"}"#, "0x5")],
        silent: &[(r#"opgate_journal_writable{job="opgate",instance="a"}"#, "1x5")],
    },
    Case {
        alert: "OpgateJournalErrors",
        every: 1,
        minutes: 10,
        fires: &[(
            r#"opgate_journal_errors_total{job="opgate",instance="a",kind="io"}"#,
            "0x8 1x5",
        )],
        silent: &[(r#"opgate_journal_errors_total{job="opgate",instance="a",kind="io"}"#, "3x15")],
    },
    Case {
        alert: "OpgateJournalSlow",
        every: 1,
        minutes: 25,
        fires: &[
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.025"}"#,
                "0+90x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.1"}"#,
                "0+90x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.5"}"#,
                "0+100x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="+Inf"}"#,
                "0+100x30",
            ),
        ],
        silent: &[
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.025"}"#,
                "0+99x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.1"}"#,
                "0+100x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="0.5"}"#,
                "0+100x30",
            ),
            (
                r#"opgate_journal_fsync_duration_seconds_bucket{job="opgate",instance="a",le="+Inf"}"#,
                "0+100x30",
            ),
        ],
    },
    Case {
        alert: "OpgateJournalQueueLong",
        every: 1,
        minutes: 10,
        fires: &[
            (r#"opgate_journal_queue{job="opgate",instance="a"}"#, "600x15"),
            (r#"opgate_journal_queue_max{job="opgate",instance="a"}"#, "1000x15"),
        ],
        silent: &[
            (r#"opgate_journal_queue{job="opgate",instance="a"}"#, "400x15"),
            (r#"opgate_journal_queue_max{job="opgate",instance="a"}"#, "1000x15"),
        ],
    },
    Case {
        alert: "OpgateJournalFilling",
        every: 1,
        minutes: 480,
        fires: &[
            (r#"opgate_journal_free_bytes{job="opgate",instance="a"}"#, "50000000000-50000000x500"),
            (r#"opgate_journal_size_bytes{job="opgate",instance="a"}"#, "60000000000+50000000x500"),
        ],
        silent: &[
            (r#"opgate_journal_free_bytes{job="opgate",instance="a"}"#, "50000000000-1000000x500"),
            (r#"opgate_journal_size_bytes{job="opgate",instance="a"}"#, "60000000000+1000000x500"),
        ],
    },
    Case {
        alert: "OpgateJournalAlmostFull",
        every: 1,
        minutes: 10,
        fires: &[(r#"opgate_journal_free_bytes{job="opgate",instance="a"}"#, "1000000000x15")],
        silent: &[(r#"opgate_journal_free_bytes{job="opgate",instance="a"}"#, "2000000000x15")],
    },
    Case {
        alert: "OpgateOperationStuck",
        every: 120,
        minutes: 10320,
        fires: &[(
            r#"opgate_operations_oldest_unfinished_timestamp_seconds{job="opgate",instance="a"}"#,
            "1x90",
        )],
        silent: &[(
            r#"opgate_operations_oldest_unfinished_timestamp_seconds{job="opgate",instance="a"}"#,
            "0x90",
        )],
    },
    Case {
        alert: "OpgateOperationsNearLimit",
        every: 1,
        minutes: 15,
        fires: &[
            (r#"opgate_operations{job="opgate",instance="a",state="accepted"}"#, "500x20"),
            (r#"opgate_operations{job="opgate",instance="a",state="running"}"#, "400x20"),
            (r#"opgate_operations_unfinished_max{job="opgate",instance="a"}"#, "1000x20"),
        ],
        silent: &[
            (r#"opgate_operations{job="opgate",instance="a",state="running"}"#, "400x20"),
            (r#"opgate_operations{job="opgate",instance="a",state="succeeded"}"#, "900x20"),
            (r#"opgate_operations_unfinished_max{job="opgate",instance="a"}"#, "1000x20"),
        ],
    },
    Case {
        alert: "OpgateBackendDown",
        every: 1,
        minutes: 10,
        fires: &[(
            r#"opgate_backend_breaker{job="opgate",instance="a",backend="b"}"#,
            "2 1 2 2 1 2 2 1 2 2 1 2",
        )],
        silent: &[(
            r#"opgate_backend_breaker{job="opgate",instance="a",backend="b"}"#,
            "2 1 2 2 1 2 2 1 0 1 2 2",
        )],
    },
    Case {
        alert: "OpgateBackendFailing",
        every: 1,
        minutes: 40,
        fires: &[
            (
                r#"opgate_operations_finished_total{job="opgate",instance="a",protocol="grpc",backend="b",outcome="failed"}"#,
                "0+2x50",
            ),
            (
                r#"opgate_operations_finished_total{job="opgate",instance="a",protocol="grpc",backend="b",outcome="succeeded"}"#,
                "0+1x50",
            ),
        ],
        silent: &[
            (
                r#"opgate_operations_finished_total{job="opgate",instance="a",protocol="grpc",backend="b",outcome="failed"}"#,
                "0+1x50",
            ),
            (
                r#"opgate_operations_finished_total{job="opgate",instance="a",protocol="grpc",backend="b",outcome="succeeded"}"#,
                "0+2x50",
            ),
        ],
    },
    Case {
        alert: "OpgateBackendSaturated",
        every: 1,
        minutes: 20,
        fires: &[
            (r#"opgate_leases{job="opgate",instance="a",backend="b"}"#, "95x30"),
            (r#"opgate_leases_max{job="opgate",instance="a",backend="b"}"#, "100x30"),
            (r#"opgate_operations_queued{job="opgate",instance="a",backend="b"}"#, "5x30"),
        ],
        silent: &[
            (r#"opgate_leases{job="opgate",instance="a",backend="b"}"#, "95x30"),
            (r#"opgate_leases_max{job="opgate",instance="a",backend="b"}"#, "100x30"),
            (r#"opgate_operations_queued{job="opgate",instance="a",backend="b"}"#, "0x30"),
        ],
    },
    Case {
        alert: "OpgateNobodyWorks",
        every: 1,
        minutes: 20,
        fires: &[
            (r#"opgate_operations_queued{job="opgate",instance="a",backend="b"}"#, "5x30"),
            (r#"opgate_leases{job="opgate",instance="a",backend="b"}"#, "0x30"),
            (r#"opgate_lease_asks{job="opgate",instance="a",backend="b"}"#, "0x30"),
        ],
        silent: &[
            (r#"opgate_operations_queued{job="opgate",instance="a",backend="b"}"#, "5x30"),
            (r#"opgate_leases{job="opgate",instance="a",backend="b"}"#, "1x30"),
            (r#"opgate_lease_asks{job="opgate",instance="a",backend="b"}"#, "0x30"),
        ],
    },
    Case {
        alert: "OpgateLeasesExpire",
        every: 1,
        minutes: 15,
        fires: &[(
            r#"opgate_leases_expired_total{job="opgate",instance="a",backend="b"}"#,
            "0+1x20",
        )],
        silent: &[(
            r#"opgate_leases_expired_total{job="opgate",instance="a",backend="b"}"#,
            "7x5 12x15",
        )],
    },
    Case {
        alert: "OpgateLeasesLost",
        every: 1,
        minutes: 15,
        fires: &[(r#"opgate_leases_lost_total{job="opgate",instance="a",backend="b"}"#, "0+5x20")],
        silent: &[(r#"opgate_leases_lost_total{job="opgate",instance="a",backend="b"}"#, "0+1x20")],
    },
    Case {
        alert: "OpgateCallbacksLate",
        every: 1,
        minutes: 75,
        fires: &[(
            r#"opgate_callbacks_oldest_owed_timestamp_seconds{job="opgate",instance="a"}"#,
            "1x80",
        )],
        silent: &[(
            r#"opgate_callbacks_oldest_owed_timestamp_seconds{job="opgate",instance="a"}"#,
            "1x50 3600x30",
        )],
    },
    Case {
        alert: "OpgateCallbacksDead",
        every: 1,
        minutes: 30,
        fires: &[(r#"opgate_callbacks_dead_total{job="opgate",instance="a"}"#, "0x10 1x30")],
        silent: &[(r#"opgate_callbacks_dead_total{job="opgate",instance="a"}"#, "7x40")],
    },
    Case {
        alert: "OpgateConnectionsNearLimit",
        every: 1,
        minutes: 15,
        fires: &[
            (r#"opgate_connections{job="opgate",instance="a",listener="http"}"#, "900x20"),
            (r#"opgate_connections_max{job="opgate",instance="a",listener="http"}"#, "1000x20"),
        ],
        silent: &[
            (r#"opgate_connections{job="opgate",instance="a",listener="http"}"#, "700x20"),
            (r#"opgate_connections_max{job="opgate",instance="a",listener="http"}"#, "1000x20"),
        ],
    },
    Case {
        alert: "OpgateConnectionsRefused",
        every: 1,
        minutes: 10,
        fires: &[
            (
                r#"opgate_connections_rejected_total{job="opgate",instance="a",listener="http"}"#,
                "0x2 1+1x20",
            ),
            (r#"opgate_accept_errors_total{job="opgate",instance="a",listener="http"}"#, "0x20"),
        ],
        silent: &[
            (
                r#"opgate_connections_rejected_total{job="opgate",instance="a",listener="http"}"#,
                "5x20",
            ),
            (r#"opgate_accept_errors_total{job="opgate",instance="a",listener="http"}"#, "5x20"),
        ],
    },
    Case {
        alert: "OpgatePermitsNearLimit",
        every: 1,
        minutes: 15,
        fires: &[
            (r#"opgate_permits{job="opgate",instance="a",what="wait"}"#, "900x20"),
            (r#"opgate_permits_max{job="opgate",instance="a",what="wait"}"#, "1000x20"),
        ],
        silent: &[
            (r#"opgate_permits{job="opgate",instance="a",what="wait"}"#, "700x20"),
            (r#"opgate_permits_max{job="opgate",instance="a",what="wait"}"#, "1000x20"),
        ],
    },
    Case {
        alert: "OpgateDescriptorsNearLimit",
        every: 1,
        minutes: 15,
        fires: &[
            (r#"process_open_fds{job="opgate",instance="a"}"#, "900x20"),
            (r#"process_max_fds{job="opgate",instance="a"}"#, "1000x20"),
            (r#"opgate_build_info{job="opgate",instance="a",version="1"}"#, "1x20"),
        ],
        silent: &[
            (r#"process_open_fds{job="opgate",instance="a"}"#, "900x20"),
            (r#"process_max_fds{job="opgate",instance="a"}"#, "1000x20"),
        ],
    },
    Case {
        alert: "OpgateCertificateExpires",
        every: 1,
        minutes: 90,
        fires: &[(
            r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="http"}"#,
            "1200000x100",
        )],
        silent: &[
            (
                r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="http"}"#,
                "1300000x100",
            ),
            (
                r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="amqp"}"#,
                "0x100",
            ),
        ],
    },
    Case {
        alert: "OpgateCertificateExpired",
        every: 1,
        minutes: 10,
        fires: &[(
            r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="http"}"#,
            "80000x20",
        )],
        silent: &[
            (
                r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="http"}"#,
                "90000x20",
            ),
            (
                r#"opgate_tls_certificate_expires_timestamp_seconds{job="opgate",instance="a",listener="amqp"}"#,
                "0x20",
            ),
        ],
    },
    Case {
        alert: "OpgateReloadRefused",
        every: 1,
        minutes: 10,
        fires: &[(
            r#"opgate_config_reloads_total{job="opgate",instance="a",result="refused"}"#,
            "0x5 1x10",
        )],
        silent: &[
            (r#"opgate_config_reloads_total{job="opgate",instance="a",result="refused"}"#, "1x15"),
            (
                r#"opgate_config_reloads_total{job="opgate",instance="a",result="applied"}"#,
                "0+1x15",
            ),
        ],
    },
    Case {
        alert: "OpgateSignInsRefused",
        every: 1,
        minutes: 30,
        fires: &[
            (
                r#"opgate_signatures_refused_total{job="opgate",instance="a",reason="key"}"#,
                "0+60x40",
            ),
            (r#"opgate_amqp_refused_total{job="opgate",instance="a",what="sign_in"}"#, "0+60x40"),
        ],
        silent: &[
            (
                r#"opgate_signatures_refused_total{job="opgate",instance="a",reason="key"}"#,
                "0+1x40",
            ),
            (r#"opgate_amqp_refused_total{job="opgate",instance="a",what="sign_in"}"#, "0+1x40"),
            (r#"opgate_amqp_refused_total{job="opgate",instance="a",what="frame"}"#, "0+600x40"),
        ],
    },
    Case {
        alert: "OpgatePanics",
        every: 1,
        minutes: 10,
        fires: &[(
            r#"opgate_panics_contained_total{job="opgate",instance="a",place="request"}"#,
            "0x5 1x10",
        )],
        silent: &[(
            r#"opgate_panics_contained_total{job="opgate",instance="a",place="request"}"#,
            "1x15",
        )],
    },
];
