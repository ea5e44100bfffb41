# This file is how the harness words what it says to people: lists of names, kinds of values, errors.

NAMES_SHOWN <- 8L
NAME_LENGTH <- 80L
ERROR_LENGTH <- 2000L
OWN_BYTES <- 192 * 1024 * 1024 # what both processes hold with some packages
CALLS_MEMORY <- "the instance's memory beyond 192 MB"
MEMORY_SHARE <- 16L # a call needs some eight times its body, thirteen times where all of it comes back
VALUE_SHARE <- 1024L # a value takes up to 170 bytes while JSON is read

# "'x', 'y', and 'z'"; only the first few of very many.
quoted <- function(names) {
  every <- paste0("'", cut_text(names, NAME_LENGTH), "'")
  shown <- utils::head(every, NAMES_SHOWN)
  if (length(every) > length(shown)) shown <- c(shown, paste(length(every) - length(shown), "more"))
  if (length(shown) <= 2L) return(paste(shown, collapse = " and "))
  last <- length(shown)
  paste0(paste(shown[-last], collapse = ", "), ", and ", shown[last])
}

# "1 argument", "2 arguments"
counted <- function(count, noun) paste0(count, " ", noun, if (count != 1) "s")

# A whole number with all its digits.
whole <- function(number) format(number, scientific = FALSE, trim = TRUE)

# One for every `share` bytes of the memory that calls have; 0 or NULL: nobody knows how much there is.
most_by <- function(memory_bytes, share) {
  if (is.null(memory_bytes) || memory_bytes == 0) return(Inf)
  max(memory_bytes - OWN_BYTES, OWN_BYTES / 3) %/% share
}

# Why a bound is what it is.
share_words <- function(by_memory) if (by_memory) paste0(", a ", MEMORY_SHARE, "th of ", CALLS_MEMORY)

# What a person who writes JSON would call a parsed value.
json_kind <- function(value) {
  if (is.null(value)) return("null")
  if (is.list(value)) return(if (is.null(names(value))) "a list" else "an object")
  switch(typeof(value), logical = "a boolean", character = "a string", "a number")
}

# "Error: text" of a condition: a class of the user's own is named instead.
described <- function(condition) {
  kind <- setdiff(class(condition), c("simpleError", "simpleCondition", "error", "condition"))
  kind <- if (length(kind)) kind[[1L]] else "Error"
  text <- tryCatch(
    paste(as.character(conditionMessage(condition)), collapse = " "),
    error = function(e) "(its text could not be made)"
  )
  if (nzchar(text)) paste0(kind, ": ", cut_text(text, ERROR_LENGTH)) else kind
}

# The class of a value, as R tells it.
type_name <- function(value) paste(class(value), collapse = "/")

# All on one line.
one_line <- function(text) trimws(gsub("[[:space:]]+", " ", text))

cut_text <- function(text, length) {
  text <- as_utf8(text)
  ifelse(nchar(text) <= length, text, paste0(substr(text, 1L, length - 1L), "\u2026"))
}

# Text that is valid UTF-8: what is no character in it is written out.
as_utf8 <- function(text) {
  text <- enc2utf8(text)
  if (all(validUTF8(text))) return(text)
  iconv(text, "UTF-8", "UTF-8", sub = "byte")
}
