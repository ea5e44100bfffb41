# This file is a program: `examine.R FILE NAME FUNCTION PACKAGE...` says whether FILE is R and may define FUNCTION, and
# which versions of R and of the packages this machine has.
#
# Nothing of the project is executed. It writes {"fault", "detail", "r", "platform", "packages"} as JSON, the first two
# empty when all is well; `packages` has the version of each PACKAGE, "" where there is none. NAME is what the sentence
# calls the file. A function is missed only when that is certain; in doubt the harness finds out.

quoted <- function(text) {
  text <- gsub('(["\\\\])', "\\\\\\1", iconv(text, "UTF-8", "UTF-8", sub = "byte"))
  paste0('"', gsub("[[:cntrl:]]+", " ", text), '"')
}

# Whether the script may come by more names than are seen to be assigned at its top level.
CONJURERS <- c("source", "sys.source", "assign", "load", "attach", "eval", "evalq", "list2env", "delayedAssign", "readRDS",
  "makeActiveBinding", "<<-", "->>", "attachNamespace", "do.call")

fault_of <- function(path, name, function_name) {
  expressions <- tryCatch(parse(path, keep.source = FALSE, encoding = "UTF-8"), error = identity)
  if (inherits(expressions, "error")) {
    where <- sub(path, name, conditionMessage(expressions), fixed = TRUE)
    return(c(sub("^([^:]*:[0-9]+):([0-9]+):", "\\1: syntax error:", sub("\n.*", "", where)), where))
  }
  tops <- as.list(expressions)
  is_assignment <- function(call) is.call(call) && as.character(call[[1L]])[[1L]] %in% c("<-", "=")
  names <- unlist(lapply(Filter(is_assignment, tops), function(call) {
    if (is.symbol(call[[2L]]) || is.character(call[[2L]])) as.character(call[[2L]])
  }))
  plain <- vapply(tops, function(call) !is.call(call) || is_assignment(call) || is_harmless(call), NA)
  if (function_name %in% names || !all(plain) || any(CONJURERS %in% all.names(expressions))) return(c("", ""))
  listed <- paste0("Names at its top level: ", if (length(names)) paste(names, collapse = ", ") else "none", ".")
  c(paste0(name, ": function '", function_name, "' is not defined at the top level"), listed)
}

is_harmless <- function(call) as.character(call[[1L]])[[1L]] %in% c("library", "require", "suppressPackageStartupMessages",
  "options", "set.seed", "print", "cat", "message", "rm", "setwd", "Sys.setenv", "invisible", "stopifnot")

words <- commandArgs(trailingOnly = TRUE)
fault <- fault_of(words[[1L]], words[[2L]], words[[3L]])
packages <- words[-(1:3)]
versions <- vapply(packages, function(package) {
  tryCatch(as.character(utils::packageVersion(package)), error = function(e) "")
}, "")
cat("{", paste0(quoted(c("fault", "detail", "r", "platform")), ":",
  quoted(c(fault, as.character(getRversion()), R.version$platform)), collapse = ","), sep = "")
cat(',"packages":{', paste0(quoted(packages), ":", quoted(versions), collapse = ","), "}}\n", sep = "")
