# shellcheck shell=bash
# What the table of async asks for beside patterns.

# task CPU NAME: the report of the panic of this CPU says that it ran this task.
expect_task() {
    awk -v cpu="$1" -v name="  $2" '
        /^panic on cpu / { reports = $4 == cpu }
        /^cpu / { reports = 0 }
        reports && $0 == name { found = 1 }
        END { exit !found }' "$CONSOLE" || fail "the report says nothing of the task $2 on cpu $1"
}
