//! What an etcd cluster does, asked of real etcd and of the stand-in alike: whatever holds for one holds for the other.
//!
//! Each scenario is a function of the kind of member; the macro makes a test for each kind. Without etcd on this machine
//! the tests against it say that they were skipped.

mod data;
mod fixture;
mod growth;
mod processes;
mod quorum;
mod watching;

/// `scenarios!(module::scenario as name, ..)` makes a test `name` of each `module::scenario(Kind)` for each kind.
macro_rules! scenarios {
    ($($module:ident::$scenario:ident as $name:ident,)*) => {
        mod real_etcd {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(kind) = super::fixture::real_etcd() {
                        super::$module::$scenario(kind).await;
                    }
                }
            )*
        }

        mod stand_in {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$module::$scenario(multizone_sandbox_etcd::Kind::StandIn).await;
                }
            )*
        }
    };
}

scenarios! {
    growth::from_one_to_three_and_one_is_lost as grows_from_one_to_three_and_survives_the_loss_of_one,
    growth::unstarted_learners_go_by_id as an_unstarted_learner_is_removed_by_its_id,
    growth::removals_that_cost_the_quorum_are_refused as removals_that_would_cost_the_quorum_are_refused,
    growth::a_removed_member_ends_and_stays_out as a_removed_member_ends_and_its_data_does_not_bring_it_back,
    growth::joiners_must_know_the_cluster as a_joiner_that_does_not_know_the_cluster_is_refused,
    quorum::two_of_three_dead as without_a_quorum_writes_fail_and_status_answers,
    quorum::two_of_three_paused as paused_members_do_not_count_and_resumed_ones_do,
    quorum::leadership_moves as leadership_moves_where_it_is_told,
    quorum::restart_keeps_everything as a_restart_keeps_everything,
    data::keys_have_revisions as keys_have_revisions,
    data::keys_are_deleted_and_kept as keys_are_deleted_and_kept,
    data::transactions_are_whole_or_refused as transactions_are_whole_or_refused,
    data::transactions_compare_and_write as transactions_compare_and_write_as_a_whole,
    data::compaction_forgets as compaction_forgets_and_stays,
    data::snapshots_carry_their_digest as snapshots_carry_their_digest,
    watching::watches_begin_where_they_are_told as watches_begin_where_they_are_told,
    watching::watches_of_the_past_and_of_the_future as watches_of_the_past_and_of_the_future,
    watching::every_member_has_watches as every_member_has_watches,
    watching::leases_end as leases_end,
    quorum::strangers_are_refused as clients_without_a_certificate_are_refused,
}
