# show: how the demo talks: steps, commands with their output, checks, and the table at the end; to be sourced.
#
#   show_begin               where the narration goes (descriptor 3), when it began; colours if $DEMO_COLOUR
#   show_step N TITLE PROMISE, show_seen TEXT    a step, and what its line of the last table says was seen
#   tell TEXT...             words for the reader, a line an argument
#   check TEXT ERE VALUE, check_is TEXT WANTED VALUE, check_that TEXT COMMAND...
#                            what the step claims; the first one that fails ends the demo through show_failed
#   show_command PROMPT LINE, show_output TEXT     a command as it is typed, and what it said
#   show_table               the summary
#
# In: nothing but arguments. Out: lines of at most 96 columns on descriptor 3, and a copy in $LAB/log/demo.log. It runs no
# command of the demo by itself but those of check_that.
# shellcheck shell=sh

show_width=96
show_steps=8
show_name='the start'
show_checks=0

show_begin() {
	show_started=$(date +%s)
	show_bold='' show_dim='' show_good='' show_bad='' show_plain=''
	if [ -n "${DEMO_COLOUR-}" ]; then
		show_bold=$(printf '\033[1m')
		show_dim=$(printf '\033[36m')
		show_good=$(printf '\033[32m')
		show_bad=$(printf '\033[31m')
		show_plain=$(printf '\033[0m')
	fi
}

# Minutes and seconds since the demo began.
show_clock() {
	show_now=$(($(date +%s) - show_started))
	printf '%d:%02d' $((show_now / 60)) $((show_now % 60))
}

show_line() {
	printf '%s\n' "$1" >&3
	printf '%s\n' "$1" >>"$LAB/log/demo.log"
}

tell() {
	for show_text in "$@"; do show_line "${show_text:+  $show_text}"; done
}

# What is being done while nothing else is to be seen.
show_progress() {
	show_line "  [$(show_clock)] $1"
}

show_step() {
	show_name="step $1: $2"
	printf '%s\t%s\t' "$1" "$3" >>"$LAB/run/table"
	show_rule="== Step $1 of $show_steps == $2 "
	while [ "${#show_rule}" -lt $((show_width - 7)) ]; do show_rule="$show_rule="; done
	show_line ''
	show_line "$show_bold$show_rule [$(show_clock)]$show_plain"
}

show_seen() {
	printf '%s\n' "$1" >>"$LAB/run/table"
}

show_command() {
	show_line ''
	show_first="$1 "
	printf '%s\n' "$2" >"$LAB/tmp/command"
	while IFS= read -r show_text; do
		show_line "    $show_dim$show_first$show_text$show_plain"
		show_first=$(printf '%*s' $((${#1} + 1)) '')
	done <"$LAB/tmp/command"
}

show_output() {
	[ -n "$1" ] || return 0
	# What is longer than a line goes on in the next one, further to the right.
	printf '%s\n' "$1" | awk -v width=$((show_width - 8)) '{
		line = $0
		while (length(line) > width) {
			at = width
			while (at > width / 2 && substr(line, at, 1) != " ") at--
			if (substr(line, at, 1) != " ") at = width
			print substr(line, 1, at)
			line = "        " substr(line, at + 1)
		}
		print line
	}' >"$LAB/tmp/output"
	while IFS= read -r show_text; do show_line "    $show_text"; done <"$LAB/tmp/output"
}

# --- checks ---------------------------------------------------------------------------------------------------------

show_passed() {
	show_checks=$((show_checks + 1))
	show_line "  ${show_good}ok$show_plain  $1"
}

# show_failed TEXT EXPECTED SEEN: the end of the demo.
show_failed() {
	show_line "  ${show_bad}FAILED$show_plain  $1"
	show_line ''
	show_line "${show_bad}The demo failed in $show_name$show_plain"
	show_line "  claimed:  $1"
	show_line "  expected: $2"
	printf '%s\n' "${3:-(nothing)}" | tail -n 20 >"$LAB/tmp/seen"
	show_first='seen:     '
	while IFS= read -r show_text; do
		show_line "  $show_first$show_text"
		show_first='          '
	done <"$LAB/tmp/seen"
	# shellcheck disable=SC2034 # whoever cleans up asks it
	show_told=yes
	exit 1
}

check() {
	if printf '%s\n' "$3" | grep -Eq -- "$2"; then
		show_passed "$1"
	else
		show_failed "$1" "something like $2" "$3"
	fi
}

check_is() {
	if [ "$2" = "$3" ]; then
		show_passed "$1"
	else
		show_failed "$1" "${2:-(nothing)}" "$3"
	fi
}

check_that() {
	show_text=$1
	shift
	show_words=$("$@" 2>&1 3>&-) || show_failed "$show_text" "success of: $*" "$show_words"
	show_passed "$show_text"
}

# --- the end --------------------------------------------------------------------------------------------------------

show_table() {
	show_line ''
	show_line "${show_bold}Step  Promised                                        Seen$show_plain"
	while IFS='	' read -r show_row show_promise show_fact; do
		show_line "$(printf '%-4s  %-46s  %s' "$show_row" "$show_promise" "$show_fact")"
	done <"$LAB/run/table"
}
