# This file is a program that asks a repository of R packages, whose address is the first line of its input: an address may
# have a password in it, and arguments are seen by everybody.
#
# `repository.R offers`, with the names of packages, one a line: writes {"fault", "offers", "archived", "close"} as JSON.
#   `offers` has the newest version and the needs of each package, and of all that these need; `archived` has older versions
#   of the packages named; `close` has a similar name for each that is not there.
# `repository.R fetch FOLDER`, with lines `name version`: gets the sources as FOLDER/name_version.tar.gz and writes {"fault",
#   "missing"}, the latter being what the repository does not have.
# `fault` is empty, or what R said when the repository did not answer.

here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[[1L]])))
source(file.path(here, "quoting.R"))

ABSENT <- "HTTP status was '(404|410)|cannot open file|No such file|Couldn't open file|Couldn't read a file"

# What came of `work`: its `value`, and as `said` every complaint on the way.
attempt <- function(work) {
  said <- character()
  note <- function(condition) said <<- c(said, trimws(conditionMessage(condition)))
  value <- tryCatch(
    withCallingHandlers(work, warning = function(w) {
      note(w)
      invokeRestart("muffleWarning")
    }),
    error = function(e) {
      note(e)
      NULL
    }
  )
  list(value = value, said = paste(said, collapse = "; "))
}

offers <- function(repository, names) {
  options(timeout = 60)
  contrib <- contrib.url(repository, "source")
  found <- attempt(available.packages(contrib, filters = c("R_version", "OS_type", "duplicates")))
  # An index that cannot be read is a warning and no rows; one that is empty is no warning.
  if (is.null(found$value) || (nzchar(found$said) && !nrow(found$value))) return(list(fault = found$said))
  others <- available.packages(contrib, filters = c("OS_type", "duplicates"))
  index <- rbind(found$value, others[!rownames(others) %in% rownames(found$value), , drop = FALSE])
  index <- index[index[, "Repository"] == contrib, , drop = FALSE] # not what is in folders for other versions of R
  close <- lapply(setdiff(names, rownames(index)), function(name) {
    distance <- utils::adist(name, rownames(index), ignore.case = TRUE)
    near <- which(distance <= 2 & distance < nchar(name) / 2)
    if (length(near)) rownames(index)[near[which.min(distance[near])]] else ""
  })
  reached <- unique(c(names, unlist(tools::package_dependencies(names, index, recursive = TRUE))))
  list(fault = "", rows = index[intersect(reached, rownames(index)), , drop = FALSE],
    archived = archived(contrib, names), close = stats::setNames(close, setdiff(names, rownames(index))))
}

# Older versions of each package, from the list that CRAN keeps, or else from the listing of its folder.
archived <- function(contrib, names) {
  listed <- attempt({
    connection <- gzcon(url(paste0(contrib, "/Meta/archive.rds"), "rb"))
    on.exit(close(connection))
    readRDS(connection)
  })$value
  files <- lapply(names, function(name) {
    if (!is.null(listed)) return(basename(rownames(listed[[name]])))
    folder <- paste0(contrib, "/Archive/", name)
    if (startsWith(folder, "file://")) return(list.files(sub("^file://", "", folder)))
    page <- as.character(attempt(readLines(paste0(folder, "/"), warn = FALSE))$value)
    sub('^href="', "", unlist(regmatches(page, gregexpr('href="[^"/]+[.]tar[.]gz', page))))
  })
  versions <- lapply(seq_along(names), function(at) {
    start <- paste0(names[[at]], "_")
    mine <- files[[at]][startsWith(as.character(files[[at]]), start)]
    versions <- sub("[.]tar[.]gz$", "", substring(mine, nchar(start) + 1L))
    versions[grepl("^[0-9]+([.-][0-9]+)*$", versions)]
  })
  stats::setNames(versions, names)
}

fetch <- function(repository, lines, folder) {
  options(timeout = 600)
  missing <- character()
  for (line in lines) {
    words <- strsplit(line, " ", fixed = TRUE)[[1L]]
    file <- paste0(words[[1L]], "_", words[[2L]], ".tar.gz")
    contrib <- contrib.url(repository, "source")
    for (place in c(contrib, paste0(contrib, "/Archive/", words[[1L]]))) {
      aside <- file.path(folder, paste0(file, ".part"))
      got <- attempt(utils::download.file(paste0(place, "/", file), aside, quiet = TRUE, mode = "wb"))
      if (identical(got$value, 0L)) break
      if (!grepl(ABSENT, got$said)) return(list(fault = got$said))
    }
    if (!identical(got$value, 0L)) missing <- c(missing, line) else file.rename(aside, file.path(folder, file))
  }
  list(fault = "", missing = missing)
}

told_offers <- function(found) {
  rows <- found$rows
  needs <- rows[, c("Depends", "Imports", "LinkingTo"), drop = FALSE]
  needs[is.na(needs)] <- ""
  described <- vapply(seq_len(nrow(rows)), function(at) {
    joined(quoted(c(rows[at, "Version"], paste(needs[at, ], collapse = ","))))
  }, "")
  versions <- vapply(found$archived, function(each) joined(if (length(each)) quoted(each)), "")
  joined(c(quoted(""), joined(described, as.character(rownames(rows))), joined(versions, as.character(names(found$archived))),
    joined(if (length(found$close)) quoted(unlist(found$close)), as.character(names(found$close)))),
  c("fault", "offers", "archived", "close"))
}

words <- commandArgs(trailingOnly = TRUE)
input <- local({
  asked <- file("stdin")
  on.exit(close(asked))
  readLines(asked, encoding = "UTF-8")
})
found <- if (words[[1L]] == "offers") offers(input[[1L]], input[-1L]) else fetch(input[[1L]], input[-1L], words[[2L]])
told <- if (nzchar(found$fault)) {
  joined(quoted(found$fault), "fault")
} else if (words[[1L]] == "offers") {
  told_offers(found)
} else {
  joined(c(quoted(""), joined(if (length(found$missing)) quoted(found$missing))), c("fault", "missing"))
}
cat(told, "\n", sep = "")
