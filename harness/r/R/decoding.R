# This file is how the bytes of a request's body become a document, or one message that says why they cannot.
#
# An object becomes a named list, an array a list, null NULL; a whole number an integer where R has one that large, any
# other number a numeric.

TOO_DEEP <- "the body is nested too deeply"
LOOKED_AT <- 1024L * 1024L # bytes
LARGE <- 1024L * 1024L # bytes of a body or a result, after which a process tidies up its memory
DEEPEST <- 1000L
MARKS <- utf8ToInt(",:[{")
QUOTED <- '"[^"\\\\]*+(?:\\\\.[^"\\\\]*+)*+"'
BYTE_ORDER_MARK <- "\ufeff"

# The body as JSON. Signals `not_readable`, or `too_large` of one with more than `most` values, and nothing else.
decode <- function(body, most = Inf) {
  text <- text_of(body)
  check_values(body, text, most)
  if (!grepl("[^ \t\r\n]", text, useBytes = TRUE)) {
    refuse("not_readable", 'the body is empty; send a JSON object with "data" or "parameters"')
  }
  if (grepl("\\u", text, fixed = TRUE)) check_escapes(text)
  document <- tryCatch(jsonlite::parse_json(text, bigint_as_char = FALSE), error = function(e) {
    deep <- grepl("stack|nested too deeply", conditionMessage(e)) || opens_too_much(body)
    refuse("not_readable", if (deep) TOO_DEEP else parse_fault(conditionMessage(e)))
  })
  if (length(body) > 2L * DEEPEST && goes_deeper(document, DEEPEST)) refuse("not_readable", TOO_DEEP)
  for (written in large_numbers(text)) {
    if (is.infinite(as.numeric(written)) && holds_infinity(document)) {
      why <- ", which is larger than the numbers that a computer calculates with (1.8e308)"
      refuse("not_readable", paste0("the body holds ", cut_text(written, 40L), why))
    }
  }
  document
}

# A value takes memory however short it is written.
check_values <- function(body, text, most) {
  if (length(body) <= most || marks_in(body) <= most) return()
  values <- marks_in(charToRaw(suppressWarnings(gsub(QUOTED, "", text, perl = TRUE, useBytes = TRUE))))
  if (values <= most) return()
  share <- paste0(", one for every ", VALUE_SHARE, " bytes of ", CALLS_MEMORY)
  refuse("too_large", paste0("the body holds about ", whole(values), " values; at most ", whole(most), " are taken", share))
}

# How many commas, colons and opening brackets there are: about as many as values.
marks_in <- function(bytes) {
  count <- 0
  for (from in seq.int(1, max(1, length(bytes)), by = LOOKED_AT)) {
    part <- bytes[from:min(length(bytes), from + LOOKED_AT - 1)]
    count <- count + sum(tabulate(as.integer(part), 255L)[MARKS])
  }
  count
}

# Refuse the characters that JSON can write and a text in R cannot hold.
check_escapes <- function(text) {
  text <- gsub("\\\\", "", text, fixed = TRUE) # what is left of `\` begins an escape
  if (grepl("\\u0000", text, fixed = TRUE)) refuse("not_readable", "the body holds the character \\u0000, which R has not")
  half <- "(?i)\\\\ud[89ab]..(?!\\\\ud[c-f])|(?<!\\\\ud[89ab]..)\\\\ud[c-f].."
  if (grepl(half, text, perl = TRUE)) refuse("not_readable", "the body holds half a surrogate pair, which R has not")
}

# Whether lists are in lists more than `most` times.
goes_deeper <- function(document, most) {
  level <- list(document)
  for (depth in 0L:most) {
    level <- unlist(level[vapply(level, is.list, NA)], recursive = FALSE, use.names = FALSE)
    if (!is.list(level)) return(FALSE)
  }
  TRUE
}

# What is written like a number that may be too large for one; it may stand in a text too.
large_numbers <- function(text) {
  pattern <- "(?<![0-9.])-?[0-9][0-9.]*+[eE]\\+?[0-9]{3,}|[0-9]{309,}"
  if (!grepl(pattern, text, perl = TRUE)) return(character())
  regmatches(text, gregexpr(pattern, text, perl = TRUE))[[1L]]
}

holds_infinity <- function(value) {
  if (is.list(value)) return(any(vapply(value, holds_infinity, NA)))
  is.double(value) && any(is.infinite(value))
}

# Whether so many brackets are open near the start of what is no JSON that this is what is wrong with it.
opens_too_much <- function(body) {
  start <- utils::head(body, LOOKED_AT)
  opened <- (start %in% as.raw(c(0x5b, 0x7b))) - (start %in% as.raw(c(0x5d, 0x7d)))
  max(cumsum(opened)) > DEEPEST
}

text_of <- function(body) {
  wide <- wide_encoding(body)
  if (nzchar(wide)) {
    text <- iconv(list(body), wide, "UTF-8")
    if (is.na(text)) refuse("not_readable", paste0("the body is no text in ", wide, "; send JSON in UTF-8"))
  } else {
    if (length(grepRaw(as.raw(0L), body, fixed = TRUE))) {
      refuse("not_readable", "the body is not JSON: it holds a zero byte")
    }
    text <- rawToChar(body)
    Encoding(text) <- "UTF-8"
    if (!validUTF8(text)) refuse("not_readable", "the body is no text in UTF-8; send JSON in UTF-8")
  }
  if (startsWith(text, BYTE_ORDER_MARK)) substr(text, 2L, nchar(text)) else text
}

# UTF-16 or UTF-32 by its first characters, of which JSON's are ASCII; "" when it is neither.
wide_encoding <- function(body) {
  start <- as.integer(utils::head(body, 4L))
  if (length(start) < 2L || (all(start[1:2] != 0L) && !(sum(start[1:2]) == 0x1fdL))) return("")
  if (length(start) == 4L && (identical(start, c(0L, 0L, 0xfeL, 0xffL)) || all(start[1:3] == 0L))) return("UTF-32BE")
  if (length(start) == 4L && all(start[3:4] == 0L)) return("UTF-32LE")
  if (start[[1L]] == 0L || start[[1L]] == 0xfeL) "UTF-16BE" else "UTF-16LE"
}

# The parser's first words; the lines after them show the place.
parse_fault <- function(message) paste0("the body is not JSON: ", one_line(sub("\n.*", "", message)))

refuse <- function(class, message) {
  stop(structure(class = c(class, "error", "condition"), list(message = message, call = NULL)))
}
