# This file is how the user's script is sourced and its function found, or one sentence why not.
#
# The script runs in the global environment, expression by expression, as `Rscript` would run it; nothing is printed of
# itself. What it defines, and what it loads, stays for all calls.

# The function named `name` of the script `file`. Signals `load_failed`, and nothing else.
load_function <- function(project_dir, file, name) {
  script <- script_in(project_dir, file)
  source_whole(script, file)
  function_in(globalenv(), file, name)
}

script_in <- function(project_dir, file) {
  script <- file.path(project_dir, file)
  inside <- paste0(normalizePath(project_dir, mustWork = FALSE), "/")
  if (!file.exists(script) || dir.exists(script)) {
    others <- list.files(project_dir, pattern = "[.][Rr]$")
    hint <- if (length(others)) paste0("; it has ", quoted(others)) else ""
    load_failed(paste0("there is no file ", file, " in the project", hint))
  }
  if (!startsWith(normalizePath(script), inside)) load_failed(paste0("the file ", file, " lies outside the project"))
  script
}

source_whole <- function(script, file) {
  expressions <- tryCatch(parse(script, keep.source = TRUE, encoding = "UTF-8"), error = function(e) {
    fault <- one_line(sub("\n.*", "", sub(script, file, conditionMessage(e), fixed = TRUE)))
    load_failed(paste0(file, " could not be sourced: syntax error at ", fault), conditionMessage(e))
  })
  references <- attr(expressions, "srcref")
  for (at in seq_along(expressions)) {
    where <- paste0(" (", file, ":", references[[at]][[1L]], ")")
    outcome <- guarded(their_code(expressions[[at]], globalenv()))
    if (!is.null(outcome$condition)) {
      what <- one_line(described(outcome$condition))
      load_failed(paste0(file, " could not be sourced: ", what, where), outcome$trace)
    }
  }
}

# What came of evaluating `work`: `value`, or `condition` and `trace`.
guarded <- function(work) {
  trace <- ""
  told <- function(e) list(condition = e, trace = if (nzchar(trace)) trace else paste0(described(e), "\n"))
  keep_trace <- function(e) trace <<- tryCatch(trace_text(e, sys.calls()), error = function(e) "")
  given_up <- function() told(simpleError(one_line(sub("^Error( in [^:]*)?: ", "", geterrmessage()))))
  withRestarts(
    tryCatch(withCallingHandlers(list(value = work), error = keep_trace), error = told),
    modelway_given_up = given_up
  )
}

# `stop()` of a condition that is no error reaches no handler of errors; it would end the process.
GIVEN_UP <- quote(invokeRestart("modelway_given_up"))

function_in <- function(environment, file, name) {
  if (!exists(name, envir = environment, inherits = FALSE)) {
    all <- ls(environment)
    defined <- all[vapply(all, function(each) is.function(get(each, envir = environment)), NA)]
    hint <- if (length(defined)) paste0("it defines ", quoted(defined)) else "it defines no function"
    load_failed(paste0("there is no function '", name, "' in ", file, "; ", hint))
  }
  found <- get(name, envir = environment, inherits = FALSE)
  if (!is.function(found)) {
    load_failed(paste0("'", name, "' in ", file, " is of type ", type_name(found), ", not a function"))
  }
  found
}

load_failed <- function(reason, detail = "") {
  condition <- list(message = reason, call = NULL, detail = detail)
  stop(structure(class = c("load_failed", "error", "condition"), condition))
}
