//! The one list of all promises, and what becomes of it: constants to run them from, and tests for a backend.

/// All promises of a kind, handed to a macro: `__promises!(storage [macro] arguments)`.
#[doc(hidden)]
#[macro_export]
macro_rules! __promises {
    (storage [$($then:tt)*] $($with:tt)*) => {
        $($then)*! {
            ($($with)*)
            accounts::a_new_account_reads_back_as_it_was_stored
            accounts::of_many_new_accounts_with_one_key_one_is_created_and_all_get_it
            accounts::a_key_that_has_an_account_gets_that_account_also_a_closed_one
            accounts::one_key_may_have_an_account_in_each_directory
            accounts::an_account_is_not_found_in_another_directory
            accounts::an_unknown_account_is_not_found
            accounts::an_account_id_in_use_is_refused_and_its_account_unharmed
            accounts::of_many_new_accounts_with_one_id_one_is_created
            accounts::an_update_changes_what_it_names_and_nothing_else
            accounts::of_concurrent_updates_none_is_lost
            accounts::a_closed_account_stays_closed_and_cannot_be_changed
            accounts::an_account_answers_to_its_new_key_and_to_no_other
            accounts::a_key_that_has_an_account_is_refused_as_a_new_key_and_the_account_is_named
            accounts::a_key_of_another_directory_may_become_an_accounts_new_key
            accounts::a_key_change_from_a_key_that_was_changed_meanwhile_is_refused
            accounts::of_many_key_changes_from_one_key_one_succeeds
            accounts::of_many_accounts_that_change_to_one_key_one_succeeds
            accounts::a_new_account_and_a_key_change_do_not_both_get_one_key
            external_accounts::a_new_external_account_key_reads_back_as_it_was_stored
            external_accounts::an_external_account_key_is_found_by_its_very_kid_in_its_directory
            external_accounts::one_kid_may_name_an_external_account_key_in_each_directory
            external_accounts::an_external_account_key_whose_kid_is_in_use_is_refused_and_the_first_unharmed
            external_accounts::of_many_new_external_account_keys_with_one_kid_one_is_stored
            external_accounts::pages_of_external_account_keys_make_up_the_whole_list
            external_accounts::an_external_account_key_that_is_revoked_opens_no_account_any_more
            external_accounts::an_external_account_key_that_is_revoked_again_stays_as_it_is
            external_accounts::an_account_is_counted_once_by_its_external_account_key
            external_accounts::an_account_is_refused_if_its_external_account_key_cannot_be_used
            external_accounts::an_account_that_exists_is_the_answer_whatever_became_of_its_external_account_key
            external_accounts::of_many_who_use_an_external_account_key_for_the_last_time_one_succeeds
            external_accounts::of_many_accounts_that_an_external_account_key_opens_at_once_all_are_counted
            external_accounts::of_many_requests_for_one_account_its_external_account_key_counts_one
            external_accounts::an_external_account_key_that_is_revoked_while_it_is_used_counts_what_it_opened
            orders::a_new_order_reads_back_as_it_was_stored
            orders::a_foreign_order_and_an_unknown_order_get_the_same_answer
            orders::an_order_for_an_account_that_is_closed_or_unknown_is_refused
            orders::an_order_id_in_use_is_refused
            orders::an_authorization_id_in_use_is_refused_and_nothing_is_stored
            orders::of_many_new_orders_with_one_id_one_is_stored
            orders::authorizations_come_in_the_order_of_the_identifiers
            orders::challenges_come_in_the_order_in_which_they_were_made
            orders::an_order_is_ready_once_all_its_authorizations_are_valid
            orders::an_order_whose_authorizations_are_valid_from_birth_is_ready_at_once
            orders::an_order_with_a_failed_authorization_is_invalid
            orders::an_order_is_invalid_once_it_has_expired
            orders::a_valid_authorization_is_good_for_another_order
            orders::an_authorization_that_is_given_up_fails_all_orders_that_share_it
            orders::an_authorization_that_is_foreign_unknown_or_not_valid_is_not_reused
            orders::orders_are_listed_newest_first
            orders::pages_of_any_length_make_up_the_whole_list
            orders::the_page_after_an_order_that_is_not_the_accounts_is_empty
            orders::an_account_sees_only_its_own_orders_listed
            open_orders::an_account_has_no_more_orders_open_than_it_may
            open_orders::an_order_that_is_issued_refused_or_expired_is_not_open
            open_orders::an_order_that_is_ready_processing_or_failed_is_open
            open_orders::an_order_that_reuses_authorizations_counts_like_any_other
            open_orders::of_many_orders_no_more_are_stored_than_the_account_may_have_open
            replacements::an_order_that_replaces_a_certificate_is_noted_there
            replacements::a_certificate_that_is_foreign_or_unknown_is_not_replaced
            replacements::a_certificate_is_replaced_by_one_order
            replacements::an_order_that_came_to_nothing_makes_room_for_another_that_replaces
            replacements::an_order_that_was_removed_makes_room_for_another_that_replaces
            replacements::of_many_orders_that_replace_one_certificate_one_is_stored
            replacements::an_order_that_is_refused_replaces_nothing
            authorizations::a_foreign_authorization_and_an_unknown_one_get_the_same_answer
            authorizations::the_authorizations_to_reuse_are_those_that_hold_longest
            authorizations::an_authorization_is_reused_only_while_it_is_valid
            authorizations::an_authorization_is_reused_only_for_its_account_and_its_very_identifier
            authorizations::a_pending_or_valid_authorization_can_be_given_up
            authorizations::an_authorization_that_is_over_cannot_be_given_up
            authorizations::of_many_who_give_an_authorization_up_one_succeeds
            authorizations::an_authorization_that_is_given_up_while_it_is_validated_stays_given_up
            preauthorization::an_authorization_of_no_order_reads_back_as_it_was_stored
            preauthorization::an_authorization_for_an_account_that_is_closed_or_unknown_is_refused
            preauthorization::a_new_authorization_whose_id_is_in_use_is_refused_and_the_first_unharmed
            preauthorization::of_many_new_authorizations_with_one_id_one_is_stored
            preauthorization::an_authorization_of_no_order_that_is_valid_is_good_for_an_order
            preauthorization::an_account_has_no_more_authorizations_of_no_order_than_it_may
            preauthorization::an_authorization_of_no_order_counts_until_it_expires
            preauthorization::an_authorization_whose_order_is_removed_counts_from_then_on
            preauthorization::of_many_authorizations_no_more_are_stored_than_the_account_may_have
            preauthorization::an_authorization_of_no_order_is_removed_once_it_expired_long_ago
            preauthorization::an_authorization_of_no_order_that_an_order_reuses_is_kept_with_it
            preauthorization::a_lost_job_of_an_authorization_of_no_order_is_restored
            validation::a_challenge_that_begins_is_processing_and_the_caller_has_its_job
            validation::a_challenge_that_begins_again_begins_once
            validation::of_many_who_begin_a_challenge_one_gets_the_lease
            validation::a_challenge_that_is_not_the_authorizations_is_not_found
            validation::a_challenge_of_a_decided_authorization_cannot_begin
            validation::a_closed_account_cannot_begin_a_challenge
            validation::a_challenge_that_begins_without_a_lease_has_a_job_at_once
            validation::the_job_of_a_challenge_that_began_with_a_lease_is_free_when_the_lease_ends
            validation::a_challenge_that_is_met_makes_its_authorization_valid
            validation::a_challenge_that_fails_says_why_and_makes_its_authorization_invalid
            validation::an_attempt_that_is_to_be_repeated_is_remembered_and_its_job_comes_back_when_due
            validation::a_challenge_remembers_its_last_errors_oldest_first
            validation::an_attempt_is_not_repeated_when_nobody_waits_for_it
            validation::an_outcome_changes_nothing_when_the_authorization_is_decided
            validation::of_two_challenges_of_one_authorization_the_first_to_end_decides
            validation::two_challenges_of_one_authorization_have_a_job_each
            validation::the_job_of_a_challenge_is_of_its_accounts_directory
            issuance::an_issuance_that_begins_is_processing_and_the_caller_has_its_job
            issuance::of_many_issuances_of_one_order_one_begins
            issuance::an_order_that_is_not_ready_cannot_begin_to_be_issued
            issuance::a_foreign_order_and_an_unknown_one_cannot_begin_to_be_issued_alike
            issuance::a_closed_account_cannot_begin_an_issuance
            issuance::an_issuance_that_begins_without_a_lease_has_a_job_at_once
            issuance::the_job_of_an_issuance_that_began_with_a_lease_is_free_when_the_lease_ends
            issuance::the_job_of_an_issuance_is_of_its_accounts_directory
            issuance::a_serial_is_on_record_before_anything_is_signed_with_it
            issuance::a_serial_that_was_never_recorded_is_not_found
            issuance::a_serial_stays_on_record_when_an_issuance_is_taken_over
            issuance::a_serial_is_used_once
            issuance::of_many_issuances_with_one_serial_one_begins
            issuance::an_issuance_that_ends_well_makes_the_order_valid_and_stores_the_certificate
            issuance::a_certificate_whose_id_or_serial_another_has_is_not_stored
            issuance::an_issuance_that_is_refused_makes_the_order_invalid_and_says_why
            issuance::an_order_is_issued_once
            issuance::of_many_who_finish_an_issuance_one_certificate_is_stored
            leases::a_validation_that_was_taken_over_cannot_be_settled_by_who_had_it_before
            leases::an_issuance_that_was_taken_over_cannot_be_settled_by_who_had_it_before
            leases::a_lease_is_lost_when_it_ends
            leases::a_lease_is_good_until_it_ends
            leases::a_lease_is_spent_once
            leases::a_lease_with_another_token_settles_nothing
            leases::a_lease_on_one_kind_of_work_settles_no_other_kind
            leases::of_many_who_settle_a_validation_with_one_lease_one_does
            leases::of_a_settlement_and_a_takeover_at_the_same_time_one_happens
            renewals::a_lease_that_is_renewed_is_good_until_its_new_end
            renewals::a_job_whose_lease_was_renewed_is_given_again_when_that_ends
            renewals::a_renewal_changes_nothing_but_the_end_of_its_lease
            renewals::a_lease_that_is_lost_cannot_be_renewed
            renewals::of_a_renewal_and_a_takeover_at_the_same_time_one_happens
            renewals::a_job_that_is_settled_while_its_lease_is_renewed_stays_settled
            certificates::a_certificate_reads_back_as_it_was_stored
            certificates::a_foreign_certificate_and_an_unknown_one_get_the_same_answer
            certificates::a_certificate_is_found_by_its_very_serial
            certificates::a_certificate_that_is_revoked_says_when_and_why
            certificates::a_certificate_is_revoked_once_and_the_first_reason_stands
            certificates::of_many_who_revoke_a_certificate_one_succeeds
            certificates::revocations_are_of_the_revoked_certificates_that_have_not_expired
            certificates::pages_of_revocations_make_up_the_whole_list
            revocations::a_revocation_that_is_to_be_told_has_a_job_and_the_caller_holds_it
            revocations::a_revocation_that_begins_without_a_lease_has_a_job_at_once
            revocations::a_revocation_that_needs_no_telling_has_no_job
            revocations::a_telling_that_ends_says_how_and_ends_its_job
            revocations::a_telling_that_is_to_be_repeated_comes_back_when_it_is_due
            revocations::a_certificate_that_is_revoked_again_is_told_of_once
            revocations::a_telling_cannot_be_settled_by_who_lost_it
            revocations::of_many_who_end_a_telling_one_does
            revocations::a_revocation_that_lost_its_job_is_told_all_the_same
            revocations::an_expired_certificate_takes_the_job_of_its_revocation_along
            jobs::no_job_is_given_to_two_workers
            jobs::a_worker_is_given_jobs_of_its_directory_only
            jobs::a_worker_is_given_jobs_of_the_kind_that_it_asks_for
            jobs::jobs_that_are_due_longest_are_given_first
            jobs::a_job_is_not_given_before_it_is_due
            jobs::a_lease_has_the_terms_that_were_asked_for_and_counts_the_attempt
            jobs::a_job_is_given_again_when_its_lease_ends
            jobs::a_job_that_is_given_back_is_given_again_when_it_is_due
            jobs::a_job_that_was_taken_over_cannot_be_given_back_by_who_had_it_before
            jobs::the_next_job_is_due_when_it_can_be_claimed
            sweep::a_sweep_usually_finds_nothing_to_do
            sweep::a_lost_job_is_restored
            sweep::a_sweep_is_of_all_directories
            sweep::a_job_that_nobody_waits_for_is_not_restored
            sweep::of_many_sweeps_one_restores_a_lost_job
            sweep::orders_that_expired_long_ago_are_removed_with_all_they_have
            sweep::an_authorization_is_kept_as_long_as_an_order_has_it
            sweep::an_authorization_that_has_not_expired_outlives_its_order
            sweep::an_order_that_is_processing_is_never_removed
            sweep::a_certificate_is_kept_until_it_has_expired_also_a_revoked_one
            sweep::an_expired_certificate_is_removed_with_its_order
            sweep::a_sweep_touches_no_more_rows_of_a_kind_than_it_may
            sweep::audit_records_that_are_old_enough_are_removed
            traces::the_trace_of_each_attempt_at_a_validation_is_kept
            traces::the_trace_of_each_attempt_at_an_issuance_is_kept
            traces::the_traces_of_an_order_are_also_those_of_its_authorizations
            traces::a_trace_is_found_by_each_of_its_keys_and_by_no_other
            traces::no_more_traces_are_given_than_are_wanted
            traces::who_lost_the_lease_leaves_no_trace
            traces::traces_that_are_old_enough_are_removed
            audit::what_happens_to_an_account_is_recorded
            audit::how_an_issuance_ended_is_recorded_and_no_step_on_the_way
            audit::a_revocation_is_recorded
            audit::what_happens_to_an_external_account_key_is_recorded
            audit::what_did_not_happen_is_not_recorded
            audit::what_happens_once_in_a_race_is_recorded_once
            audit::a_record_says_who_did_it_in_which_request_and_from_where
            audit::the_latest_records_come_first_and_no_more_than_were_asked_for
            audit::validations_are_not_recorded
            fidelity::contacts_come_back_as_they_were
            fidelity::account_keys_come_back_as_they_were
            fidelity::an_external_account_comes_back_as_it_was
            fidelity::external_account_keys_come_back_as_they_were
            fidelity::directories_are_told_apart_by_their_very_names
            fidelity::times_come_back_to_the_millisecond
            fidelity::problems_come_back_as_they_were
            fidelity::identifiers_of_every_kind_come_back_as_they_were
            fidelity::challenges_of_any_type_come_back_as_they_were
            fidelity::requests_and_chains_come_back_byte_for_byte
            fidelity::profiles_come_back_as_they_were
        }
    };
    (nonces [$($then:tt)*] $($with:tt)*) => {
        $($then)*! {
            ($($with)*)
            nonces::a_nonce_is_good_once
            nonces::of_many_who_use_a_nonce_one_succeeds
            nonces::no_nonce_is_issued_twice
            nonces::a_nonce_that_was_never_issued_is_refused
            nonces::a_nonce_of_another_store_is_refused
            nonces::a_nonce_expires
        }
    };
    (archives [$($then:tt)*] $($with:tt)*) => {
        $($then)*! {
            ($($with)*)
            archives::what_is_copied_reads_back_as_it_was
            archives::what_is_copied_again_changes_nothing
            archives::what_changed_since_is_changed_and_what_is_gone_is_removed
            archives::accounts_that_have_exchanged_their_keys_are_copied
            archives::what_refers_to_a_record_that_is_not_there_waits_for_it
            archives::pages_of_any_length_make_up_the_whole_archive
            archives::work_goes_on_in_the_copy
            archives::a_storage_that_has_left_refuses_every_write_until_it_is_back
            archives::a_storage_is_filled_by_one_who_is_stopped_when_another_takes_it_over
            archives::a_storage_that_arrives_takes_copies_and_nothing_else
            archives::a_storage_with_anything_in_it_does_not_begin_to_arrive
        }
    };
    (rate_limits [$($then:tt)*] $($with:tt)*) => {
        $($then)*! {
            ($($with)*)
            rate_limits::a_quota_allows_its_amount_and_no_more
            rate_limits::what_is_refused_takes_nothing
            rate_limits::each_key_has_a_quota_of_its_own
            rate_limits::of_many_who_take_no_more_are_allowed_than_there_is_room_for
            rate_limits::every_answer_is_the_rules_answer
        }
    };
}

/// The promises as values.
macro_rules! promises {
    (() $($module:ident::$promise:ident)*) => {
        &[$(Promise { name: stringify!($promise), keep: |world| Box::pin($module::$promise(world)) },)*]
    };
}
pub(super) use promises;

/// One test a promise.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($make:expr) $($module:ident::$promise:ident)*) => {$(
        #[test]
        fn $promise() {
            $crate::conformance::run($make, $crate::conformance::$module::$promise);
        }
    )*};
}

/// Tests a storage: one test for each promise, with a store of its own.
///
/// Takes the name of an `async fn() -> Subject`; see [`Subject`](crate::conformance::Subject).
#[macro_export]
macro_rules! storage_conformance {
    ($make:path) => {
        $crate::__promises! { storage [$crate::__tests] async { $crate::conformance::World::from($make().await) } }
    };
}

/// Tests a nonce store: one test for each promise.
///
/// Takes the name of an `async fn() -> Arc<dyn NonceStore>`, which makes a store that shares nothing with those it
/// made before.
#[macro_export]
macro_rules! nonce_conformance {
    ($make:path) => {
        $crate::__promises! { nonces [$crate::__tests] async { [$make().await, $make().await] } }
    };
}

/// Tests a storage that can be copied, and be a copy: one test for each promise of [`Archive`](crate::Archive).
///
/// Takes the name of an `async fn() -> Archived`; see [`Archived`](crate::conformance::Archived).
#[macro_export]
macro_rules! archive_conformance {
    ($make:path) => {
        $crate::__promises! { archives [$crate::__tests] $make() }
    };
}

/// Tests a store of rate limits: one test for each promise.
///
/// Takes the name of an `async fn() -> Arc<dyn RateLimitStore>`, which makes an empty store.
#[macro_export]
macro_rules! rate_limit_conformance {
    ($make:path) => {
        $crate::__promises! { rate_limits [$crate::__tests] $make() }
    };
}
