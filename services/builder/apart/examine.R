# This file is a program: `examine.R FILE NAME FUNCTION` says whether FILE is R and may define FUNCTION, and which versions
# of R and of packages this machine has.
#
# Nothing of the project is executed. It writes {"fault", "detail", "r", "platform", "packages"} as JSON, the first two
# empty when all is well. `packages` has for each package of this machine's libraries its version, whether it is a part of R
# ("base"), and what it needs. NAME is what the sentence calls the file. A function is missed only when that is certain; in
# doubt the harness finds out.

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
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[[1L]])))
source(file.path(here, "quoting.R"))
installed <- installed.packages(noCache = TRUE)
installed <- installed[!duplicated(installed[, "Package"]), , drop = FALSE]
installed[is.na(installed)] <- ""
described <- apply(installed, 1L, function(row) {
  joined(quoted(c(row[["Version"]], row[["Priority"]], paste(row[["Depends"]], row[["Imports"]], sep = ","))))
})
told <- c(quoted(c(fault, as.character(getRversion()), R.version$platform)), joined(described, installed[, "Package"]))
cat(joined(told, c("fault", "detail", "r", "platform", "packages")), "\n", sep = "")
