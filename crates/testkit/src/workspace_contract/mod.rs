//! The contract of every [`WorkspaceDriver`](ctrlz_core::workspace::WorkspaceDriver): the same
//! meaning on each.
//!
//! A driver crate calls [`workspace_contract_tests!`](crate::workspace_contract_tests) in an
//! integration test, which makes one `#[test]` of each case. A case sees a workspace only as a
//! sandbox does: it mounts a head in a private namespace, or uses the directory that is to be
//! bind-mounted, and compares whole trees down to times, attributes and hard links. Where the host
//! cannot mount what the driver asks for, a case prints `SKIPPED(reason)`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a contract suite is test code: it fails by panicking"
)]

pub mod arrival;
pub mod base;
pub mod changes;
pub mod commit;
pub mod conflict;
pub mod edits;
mod fixture;
pub mod kinds;
pub mod live;
pub mod mending;
mod mount;
pub mod own;
pub mod paths;
pub mod programs;
pub mod random;
pub mod revert;
pub mod sealing;
pub mod upkeep;
mod view;

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use fixture::MakeDriver;

/// Keeps everything that the tests of this process make in the directory that an environment variable
/// names, from now on; whether there is one. Tells that a test is skipped when not.
pub fn goes_to(variable: &str) -> bool {
    let Some(directory) = std::env::var_os(variable) else {
        fixture::skipped(&format!("{variable} names no directory to test in"));
        return false;
    };
    // It is the same for each test of the process.
    let _ = tempfile::env::override_temp_dir(std::path::Path::new(&directory));
    true
}

/// Lets no other test of this process that calls this run until the calling one, which has a thread of
/// its own, has ended.
pub fn alone() {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local! {
        static MINE: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
    }
    MINE.with_borrow_mut(|mine| {
        // A test that failed leaves nothing half done.
        mine.get_or_insert_with(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// Runs every case, one after the other.
///
/// # Panics
/// At the first that fails.
pub fn run(make: MakeDriver<'_>) {
    crate::workspace_contract_tests!(@cases run (make));
}

/// Makes one `#[test]` of each case of the workspace contract. Takes an expression that can be
/// called with the directory for the driver's store and answers a `Box<dyn WorkspaceDriver>`.
///
/// ```ignore
/// ctrlz_testkit::workspace_contract_tests!(|store| Box::new(CopyDriver::new(store)));
/// ```
///
/// With the name of an environment variable before it, everything is kept in the directory that the
/// variable names, one for all tests of a binary; without the variable the cases are skipped.
#[macro_export]
macro_rules! workspace_contract_tests {
    (@run ($make:expr) $($area:ident::$case:ident)*) => {
        $($crate::workspace_contract::$area::$case($make);)*
    };
    (@names ($make:expr) $($area:ident::$case:ident)*) => {
        [$((stringify!($area), stringify!($case)),)*]
    };
    (@test_in ($variable:literal $make:expr) $($area:ident::$case:ident)*) => {
        $(
            #[test]
            fn $case() {
                if $crate::workspace_contract::goes_to($variable) {
                    let make: $crate::workspace_contract::MakeDriver<'_> = &$make;
                    $crate::workspace_contract::$area::$case(make);
                }
            }
        )*
    };
    (@test ($make:expr) $($area:ident::$case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let make: $crate::workspace_contract::MakeDriver<'_> = &$make;
                $crate::workspace_contract::$area::$case(make);
            }
        )*
    };
    (@cases $mode:ident $what:tt) => {
        $crate::workspace_contract_tests! { @$mode $what
            sealing::an_operation_without_a_change_gives_the_same_tree
            sealing::new_directories_count_with_all_that_lies_in_them
            sealing::what_an_operation_takes_back_itself_is_no_change
            sealing::returning_to_an_old_tree_is_identity
            sealing::forks_do_not_see_each_other
            sealing::abandoning_drops_everything
            sealing::beginning_after_a_crash_starts_clean
            sealing::a_head_says_where_it_writes
            sealing::only_a_commit_touches_the_live_base
            sealing::a_foreign_tree_is_refused
            edits::an_edit_leaves_what_a_command_would_have_left
            edits::a_written_file_keeps_what_is_its_own
            edits::a_moved_folder_keeps_what_is_in_it
            edits::an_edit_that_fails_leaves_nothing
            edits::a_look_shows_what_a_mount_shows
            edits::what_is_written_shows_while_it_is_written
            live::what_is_captured_is_what_was_there
            live::what_is_captured_and_not_kept_is_gone
            live::what_is_written_in_step_is_captured_in_step
            changes::every_kind_of_change_is_reported
            changes::changes_lie_between_any_two_trees
            changes::a_change_tells_before_and_after
            changes::metadata_alone_is_a_change
            changes::a_directory_time_alone_is_no_change
            kinds::every_kind_of_file_survives
            kinds::every_kind_of_file_is_seen_from_the_base
            kinds::every_name_survives
            kinds::deep_directories_survive
            kinds::a_directory_made_anew_hides_the_old_one
            kinds::a_path_changes_its_type_and_back
            kinds::a_directory_is_renamed
            kinds::a_directory_keeps_its_time
            base::what_is_no_directory_is_no_base
            base::a_base_that_holds_the_store
            base::the_base_is_edited_from_outside
            base::an_outside_edit_of_a_touched_path_is_a_conflict
            base::a_read_only_base_is_refused
            base::a_mount_inside_the_base_is_not_crossed
            commit::a_commit_makes_the_live_directory_equal
            commit::a_plan_writes_nothing
            commit::a_plan_names_the_conflicts
            commit::a_commit_without_changes_writes_nothing
            commit::a_partial_commit_leaves_the_rest
            commit::a_partial_commit_takes_over_what_is_live
            commit::a_partial_commit_brings_the_folders_above
            commit::a_partial_commit_minds_only_its_paths
            commit::a_commit_keeps_hard_links
            commit::a_commit_touches_only_what_changed
            commit::recovery_knows_what_happened
            conflict::both_changed_a_file
            conflict::they_replaced_a_file_and_kept_its_looks
            conflict::they_changed_the_mode
            conflict::they_changed_what_the_sandbox_deletes
            conflict::both_changed_a_link
            conflict::both_created_a_file
            conflict::they_created_a_folder_where_the_sandbox_has_a_file
            conflict::they_deleted_what_the_sandbox_changes
            conflict::they_created_inside_what_the_sandbox_removes
            conflict::they_changed_inside_what_the_sandbox_removes
            conflict::they_created_inside_what_the_sandbox_replaces
            conflict::they_removed_the_folder_of_a_new_file
            conflict::all_conflicts_are_named
            conflict::edits_elsewhere_are_no_conflict
            conflict::an_edit_before_the_first_touch_is_no_conflict
            conflict::two_sandboxes_commit_side_by_side
            revert::a_revert_brings_back_what_was_there
            revert::a_directory_is_removed_after_undo_and_redo
            revert::a_directory_is_removed_in_parts
            revert::an_older_commit_is_reverted_alone
            revert::a_revert_meets_conflicts
            revert::an_unknown_commit_is_not_reverted
            revert::an_old_tree_survives_a_commit
            revert::an_old_tree_survives_several_commits
            revert::an_old_tree_survives_a_partial_commit
            own::an_undo_and_a_redo_are_no_conflict
            own::what_another_sandbox_took_back_is_no_conflict
            own::an_older_commit_is_undone_after_a_later_one
            own::the_rest_is_committed_after_an_undo
            paths::chosen_paths_are_restored_and_no_others
            paths::a_path_is_restored_from_a_folder_that_is_gone
            paths::the_root_is_restored_and_committed
            paths::an_independent_step_is_taken_out
            paths::the_last_and_the_first_step_are_taken_out
            paths::a_dependent_step_is_named
            upkeep::damage_is_found
            upkeep::a_missing_layer_is_found
            upkeep::collection_keeps_live_trees_only
            upkeep::collection_keeps_what_an_undo_needs
            upkeep::a_collection_that_is_cut_short_goes_on
            upkeep::layers_are_merged_ahead
            upkeep::a_long_chain_still_works
            arrival::a_tree_comes_back_on_its_own_base
            arrival::a_tree_comes_to_a_copy_of_its_base
            arrival::what_changed_before_the_arrival_is_a_conflict
            arrival::what_is_held_need_not_come_again
            arrival::all_of_an_entry_comes_back
            arrival::a_part_without_a_name_or_record_gets_one
            arrival::what_was_taken_back_before_is_no_conflict
            arrival::the_rest_after_a_partial_commit_comes_back
            arrival::a_tree_from_before_a_commit_comes_back
            arrival::what_is_no_name_is_not_held
            arrival::what_did_not_land_is_refused
            arrival::a_landing_stays_while_its_driver_lives
            mending::a_damaged_part_is_whole_again
            mending::what_does_not_fit_mends_nothing
            mending::a_part_that_arrived_is_mended
            mending::each_part_of_a_rest_is_mended
            mending::a_long_chain_is_mended
            programs::a_git_repository_stays_whole
            programs::a_database_stays_whole
            random::random_operations_are_always_reversible
        }
    };
    ($variable:literal, $make:expr) => {
        $crate::workspace_contract_tests! { @cases test_in ($variable $make) }
    };
    ($make:expr) => {
        $crate::workspace_contract_tests! { @cases test ($make) }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_case_is_left_out() {
        let listed = crate::workspace_contract_tests!(@cases names (()));
        for (area, source) in [
            ("arrival", include_str!("arrival.rs")),
            ("base", include_str!("base.rs")),
            ("changes", include_str!("changes.rs")),
            ("commit", include_str!("commit.rs")),
            ("conflict", include_str!("conflict.rs")),
            ("kinds", include_str!("kinds.rs")),
            ("live", include_str!("live.rs")),
            ("mending", include_str!("mending.rs")),
            ("own", include_str!("own.rs")),
            ("paths", include_str!("paths.rs")),
            ("programs", include_str!("programs.rs")),
            ("random", include_str!("random.rs")),
            ("revert", include_str!("revert.rs")),
            ("sealing", include_str!("sealing.rs")),
            ("upkeep", include_str!("upkeep.rs")),
        ] {
            let cases = source.lines().filter_map(|line| line.strip_prefix("pub fn "));
            for case in cases.filter_map(|line| line.split_once('(')).map(|(name, _)| name) {
                assert!(listed.contains(&(area, case)), "{area}::{case} is in no list");
            }
        }
    }
}
