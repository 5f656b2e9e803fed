# HELP remit_build The version of this server.
# TYPE remit_build info
remit_build_info{version="0.0.0"} 1
# HELP remit_applied_commits Commits that this node has applied since it started.
# TYPE remit_applied_commits counter
remit_applied_commits_total 2
# HELP remit_follow_lag_seconds From the time of a commit, by the clock of the node that made it, until this node answers from it.
# TYPE remit_follow_lag_seconds histogram
# UNIT remit_follow_lag_seconds seconds
remit_follow_lag_seconds_sum 2.168327
remit_follow_lag_seconds_count 2
remit_follow_lag_seconds_bucket{le="0.0005"} 0
remit_follow_lag_seconds_bucket{le="0.001"} 0
remit_follow_lag_seconds_bucket{le="0.0025"} 0
remit_follow_lag_seconds_bucket{le="0.005"} 0
remit_follow_lag_seconds_bucket{le="0.01"} 0
remit_follow_lag_seconds_bucket{le="0.025"} 0
remit_follow_lag_seconds_bucket{le="0.05"} 0
remit_follow_lag_seconds_bucket{le="0.1"} 0
remit_follow_lag_seconds_bucket{le="0.25"} 1
remit_follow_lag_seconds_bucket{le="0.5"} 1
remit_follow_lag_seconds_bucket{le="1.0"} 1
remit_follow_lag_seconds_bucket{le="2.5"} 2
remit_follow_lag_seconds_bucket{le="5.0"} 2
remit_follow_lag_seconds_bucket{le="10.0"} 2
remit_follow_lag_seconds_bucket{le="+Inf"} 2
# HELP remit_store_commit_seconds How long the store takes to make a commit of this node durable, or to refuse it.
# TYPE remit_store_commit_seconds histogram
# UNIT remit_store_commit_seconds seconds
remit_store_commit_seconds_sum{outcome="durable"} 1.098557471
remit_store_commit_seconds_count{outcome="durable"} 2
remit_store_commit_seconds_bucket{le="0.0005",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.001",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.0025",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.005",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.01",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.025",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.05",outcome="durable"} 0
remit_store_commit_seconds_bucket{le="0.1",outcome="durable"} 1
remit_store_commit_seconds_bucket{le="0.25",outcome="durable"} 1
remit_store_commit_seconds_bucket{le="0.5",outcome="durable"} 1
remit_store_commit_seconds_bucket{le="1.0",outcome="durable"} 1
remit_store_commit_seconds_bucket{le="2.5",outcome="durable"} 2
remit_store_commit_seconds_bucket{le="5.0",outcome="durable"} 2
remit_store_commit_seconds_bucket{le="10.0",outcome="durable"} 2
remit_store_commit_seconds_bucket{le="+Inf",outcome="durable"} 2
# HELP remit_overload_connections_ended Connections that the server ended or did not take, by reason.
# TYPE remit_overload_connections_ended counter
remit_overload_connections_ended_total{reason="stalled"} 4
# HELP remit_ready 1 while this node answers, 0 while it does not; its log says why
# TYPE remit_ready gauge
remit_ready 1
# HELP remit_revision The newest revision that this node answers from
# TYPE remit_revision gauge
remit_revision 2
# HELP remit_relationships Relationships that this node has, expired ones included until they are removed
# TYPE remit_relationships gauge
remit_relationships 20000
# HELP remit_head_confirmed_ago_seconds How long ago this node was last known to have all that its store has
# TYPE remit_head_confirmed_ago_seconds gauge
# UNIT remit_head_confirmed_ago_seconds seconds
remit_head_confirmed_ago_seconds 0.840457
# HELP remit_clock_offset_seconds How far the clock of this node is off that of its store at least; positive if it is behind
# TYPE remit_clock_offset_seconds gauge
# UNIT remit_clock_offset_seconds seconds
remit_clock_offset_seconds 0.0
# HELP remit_overload_in_flight Calls that run until their answer begins, by class
# TYPE remit_overload_in_flight gauge
remit_overload_in_flight{class="check"} 0
remit_overload_in_flight{class="write"} 0
remit_overload_in_flight{class="bulk"} 0
remit_overload_in_flight{class="stream"} 0
# HELP remit_overload_queue_length Calls that wait for their turn, by class
# TYPE remit_overload_queue_length gauge
remit_overload_queue_length{class="check"} 0
remit_overload_queue_length{class="write"} 0
remit_overload_queue_length{class="bulk"} 0
remit_overload_queue_length{class="stream"} 0
# HELP remit_overload_in_flight_limit Calls that may run at once, by class
# TYPE remit_overload_in_flight_limit gauge
remit_overload_in_flight_limit{class="check"} 4096
remit_overload_in_flight_limit{class="write"} 1024
remit_overload_in_flight_limit{class="bulk"} 102
remit_overload_in_flight_limit{class="stream"} 1024
# HELP remit_overload_connections Connections, those of metrics aside
# TYPE remit_overload_connections gauge
remit_overload_connections 0
# HELP remit_overload_callers Callers that an account is kept of
# TYPE remit_overload_callers gauge
remit_overload_callers 1
# HELP remit_overload_memory_state 0 with enough memory, 1 short of it, 2 with nearly none
# TYPE remit_overload_memory_state gauge
remit_overload_memory_state 0
# HELP remit_overload_memory_used_bytes Memory that this process has
# TYPE remit_overload_memory_used_bytes gauge
remit_overload_memory_used_bytes 118525952
# HELP remit_overload_memory_limit_bytes Memory that this process may have
# TYPE remit_overload_memory_limit_bytes gauge
remit_overload_memory_limit_bytes 22748453640
# EOF
