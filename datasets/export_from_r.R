# Export the data sets that ship with R and its packages (`datasets`, `nlme`, `MASS`, `survival`, `ordinal`) to tidy
# CSV files.
#
#   Rscript datasets/export_from_r.R
#
# Writes <folder>/data.csv beside this script and prints versions and row counts.
# Values are written as R holds them: nothing is corrected, converted or left out. Only columns
# are renamed, rows put in numeric order of the task, and NA made an empty field. A time to an event that had not come
# is written `>65`, which R holds in a second column; a row that names no task (one in `lung`) is left out.

packages <- c("datasets", "nlme", "MASS", "survival", "ordinal")
for (package in packages) suppressPackageStartupMessages(library(package, character.only = TRUE))

# Folder -> package, data set, and its columns: new name = name in R. The first names the task.
exports <- list(
  theophylline = list("datasets", "Theoph", c(
    subject = "Subject", weight = "Wt", dose = "Dose", time = "Time", concentration = "conc")),
  indomethacin = list("datasets", "Indometh", c(
    subject = "Subject", time = "time", concentration = "conc")),
  phenobarbital = list("nlme", "Phenobarb", c(
    subject = "Subject", weight = "Wt", apgar = "Apgar", apgar_group = "ApgarInd",
    time = "time", dose = "dose", concentration = "conc")),
  quinidine = list("nlme", "Quinidine", c(
    subject = "Subject", age = "Age", height = "Height", weight = "Weight", race = "Race",
    smoking = "Smoke", ethanol = "Ethanol", heart_failure = "Heart",
    creatinine_clearance = "Creatinine", alpha_1_acid_glycoprotein = "glyco",
    time = "time", dose = "dose", dose_interval = "interval", concentration = "conc")),
  remifentanil = list("nlme", "Remifentanil", c(      # `ID` repeats `Subject`
    subject = "Subject", age = "Age", sex = "Sex", height = "Ht", weight = "Wt",
    body_surface_area = "BSA", lean_body_mass = "LBM",
    time = "Time", infusion_rate = "Rate", amount = "Amt", concentration = "conc")),
  alloy_fatigue = list("nlme", "Fatigue", c(
    specimen = "Path", cycles = "cycles", relative_length = "relLength")),
  epilepsy = list("MASS", "epil", c(                  # `lbase`, `lage` and `V4` follow from the others
    patient = "subject", treatment = "trt", baseline = "base", age = "age", visit = "period", seizures = "y")),
  bacteria = list("MASS", "bacteria", c(              # `trt` follows from the two others
    child = "ID", active = "ap", compliance = "hilo", week = "week", present = "y")),
  wine = list("ordinal", "wine", c(
    judge = "judge", bottle = "bottle", temperature = "temp", contact = "contact", rating = "rating")),
  kidney = list("survival", "kidney", c(              # `frail` is an estimate of others
    patient = "id", age = "age", sex = "sex", disease = "disease", time = "time", status = "status")),
  lung = list("survival", "lung", c(
    institution = "inst", age = "age", sex = "sex", ecog = "ph.ecog", time = "time", status = "status"))
)
# The status of an event that came, by folder; other times are only known to lie above what stands there.
came <- c(kidney = 1, lung = 2)

# A factor's codes follow its level order (here often by outcome), so go through the labels.
plain <- function(column) if (is.factor(column)) as.character(column) else column

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(normalizePath(gsub("~+~", " ", script, fixed = TRUE)))

cat(R.version.string, "\n")
for (package in packages) {
  cat(package, packageDescription(package)$Version, "\n")
}

for (folder in names(exports)) {
  package <- exports[[folder]][[1]]
  name <- exports[[folder]][[2]]
  columns <- exports[[folder]][[3]]
  if (exists(name, asNamespace(package), inherits = FALSE) || package == "datasets") {
    source <- as.data.frame(getExportedValue(package, name))
  } else {
    source <- get(name, as.environment(paste0("package:", package)))
  }
  table <- data.frame(lapply(columns, function(column) plain(source[[column]])))
  if (!any(grepl("^[A-Z]", table[[1]]))) table[[1]] <- as.integer(table[[1]])   # children are X01 to Z26
  if (folder %in% names(came)) {
    table$time <- paste0(ifelse(table$status == came[[folder]], "", ">"), table$time)
    table$status <- NULL
    table <- table[!is.na(table[[1]]), ]
  }
  table <- table[order(table[[1]], method = "radix"), ]                 # stable: keeps the source's order in a task
  stopifnot(!unlist(lapply(table, function(x) grepl("[\",\n]", x))))  # nothing needs quotes

  dir.create(file.path(here, folder), showWarnings = FALSE)
  connection <- file(file.path(here, folder, "data.csv"), "wb", encoding = "UTF-8")
  write.table(table, connection, sep = ",", eol = "\n", na = "", quote = FALSE, row.names = FALSE)
  close(connection)
  cat(sprintf("%-14s %s::%s: %d tasks, %d rows\n", folder, package, name,
              length(unique(table[[1]])), nrow(table)))
}
