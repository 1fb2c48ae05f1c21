use super::*;

fn error(text: &str) -> ExpressionError {
    Expression::parse(text).expect_err(text)
}

fn trend(text: &str) -> Trend {
    Expression::parse(text).unwrap_or_else(|error| panic!("{error}")).trend()
}

#[test]
fn what_binds_more_is_read_first() {
    let same = |one: &str, other: &str| {
        let [one, other] = [one, other].map(|text| Expression::parse(text).unwrap());
        assert_eq!((&one.root, &one.each), (&other.root, &other.each), "{} and {}", one.text, other.text);
    };
    same("any(ended) or any(timers > 0) and count() > 1", "any(ended) or (any(timers > 0) and count() > 1)");
    same("not any(ended) and count() > 1", "(not any(ended)) and (count() > 1)");
    same("any(not attempt > 1)", "any(not (attempt > 1))");
    same("any(ended) and any(ended) and any(ended)", "(any(ended) and any(ended)) and any(ended)");
    same("any(labels.\"a b\" = 'x')", "any( labels . 'a b' = \"x\" )");
    assert_ne!(
        Expression::parse("(any(ended) or any(timers > 0)) and count() > 1").unwrap().root,
        Expression::parse("any(ended) or any(timers > 0) and count() > 1").unwrap().root,
    );
}

#[test]
fn what_is_wrong_is_told_with_its_column_and_what_to_write() {
    for (text, column, what, instead) in [
        ("", 1, "it ends where something is to follow", None),
        ("count(stauts = \"Failed\") > 1", 7, "no field `stauts`", Some("did you mean `status`?")),
        ("count(status = \"Waitng\") > 1", 16, "no status \"Waitng\"", Some("did you mean \"Waiting\"?")),
        ("count(status = Failed) > 1", 16, "no field `Failed`", Some("as a text: \"Failed\"")),
        (
            "count(attempt = \"two\") > 1",
            17,
            "`attempt` is a number and cannot be compared with \"two\", which is a text",
            None,
        ),
        ("count(name = 7) > 1", 14, "`name` is a text and cannot be compared with 7, which is a number", None),
        ("count(name > \"a\") > 1", 7, "which has no order", Some("`=` or `!=`")),
        ("status = \"Failed\"", 1, "status is a field of a run, and there are many", Some("count(status = …)")),
        ("cuont(ended) > 1", 1, "no function `cuont`", Some("did you mean `count`?")),
        ("count(ended) == 1", 14, "there is no `==`", Some("write `=`")),
        ("any(ended) && any(ended)", 12, "there is no `&&`", Some("write `and`")),
        ("!any(ended)", 1, "has no meaning here", Some("write `not`")),
        ("any(ended", 10, "expected `,`", None),
        ("(any(ended)", 12, "to close the parenthesis", None),
        ("any(ended) any(ended)", 12, "does not belong behind", Some("`and`")),
        ("count() > 1 > 2", 13, "cannot be chained", Some("`and`")),
        ("count(count() > 1) > 1", 7, "cannot stand within", None),
        ("any(run(\"x\").ended)", 5, "only the fields of the run that is looked at", None),
        ("run(\"x\") = 1", 1, "a field of the run is missing", Some("run(\"x\").status")),
        ("run(x).attempt > 1", 1, "between quotes", Some("run(\"build\").status")),
        ("count(attempt) > 1", 7, "neither true nor false by itself", None),
        ("count()", 1, "`count` is a number", None),
        ("7", 1, "a value alone", None),
        ("any(created_at > \"2h\")", 18, "no absolute time", Some("RFC 3339")),
        ("any(name = \"x)", 12, "the quote is never closed", None),
        ("any(attempt > 99999999999999999999)", 15, "no whole number", None),
        ("any(ended) and", 15, "it ends where", None),
        ("é §", 3, "has no meaning", None),
        ("any(labels = \"x\")", 5, "no field `labels`", None),
    ] {
        let error = error(text);
        assert_eq!(error.column, column, "{error}");
        assert!(error.what.contains(what), "{error}");
        if let Some(expected) = instead {
            assert!(error.instead.as_ref().is_some_and(|instead| instead.contains(expected)), "{error:?}");
        }
    }
}

#[test]
fn length_and_depth_are_bounded() {
    assert!(error(&"x".repeat(EXPRESSION_BYTES_MAX + 1)).what.contains("more than 4096 bytes"));
    let nested = |depth| format!("{}any(ended){}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(20)).is_ok());
    assert!(error(&nested(2_000)).what.contains("nested more than"));
    assert!(error(&"not ".repeat(1_000)).what.contains("nested more than"));
    let wide = vec!["true"; 500].join(" or ");
    let wide = Expression::parse(&wide).unwrap();
    assert!(wide.holds(&NOTHING) && wide.trend() == Trend::Constant, "a long chain is not deep");
}

#[test]
fn no_text_makes_the_parser_panic() {
    use proptest::prelude::*;
    let word = prop_oneof![
        Just("count(".to_owned()),
        Just("run(\"x\").".to_owned()),
        Just("status".to_owned()),
        Just("not".to_owned()),
        Just(")".to_owned()),
        Just("labels.".to_owned()),
        "[a-z=<>!().,\"' 0-9é-]{0,6}",
        any::<String>(),
    ];
    let texts = proptest::collection::vec(word, 0..12).prop_map(|words| words.join(" "));
    proptest!(|(text in texts)| {
        if let Err(error) = Expression::parse(&text) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error:?}");
        }
    });
}

#[test]
fn only_what_cannot_become_false_again_is_said_to_grow() {
    for text in [
        "count() > 10",
        "10 < count()",
        "count(status = \"Destroyed\") >= 3",
        "count(status != \"Created\") >= 3",
        "count(attempt > 2) > 5",
        "count(labels.team = \"infra\" and attempt >= 2) > 5",
        "any(refusals >= 8)",
        "any(exists(attempt))",
        "not count() <= 4",
        "run(\"x\").attempt > 2",
        "run(\"x\").name = \"build\"",
        "exists(run(\"x\").runner)",
        "count() > 3 and any(version > 5) or run(\"x\").refusals > 1",
    ] {
        assert!(trend(text).stays_true(), "{text}");
    }
    for text in [
        "count(status = \"Waiting\") > 100",
        "count(ended) > 5",
        "count() = 10",
        "count() < 10",
        "count(attempt < 2) > 5",
        "any(attempt = 2)",
        "any(status != \"Destroyed\")",
        "all(ended)",
        "not any(refusals > 1)",
        "not run(\"x\").name = \"build\"",
        "run(\"x\").refusals < 5",
        "run(\"x\").attempt < 5",
        "any(updated_at > \"2026-11-21T03:12:00Z\")",
        "count(status = \"Failed\") > count(status = \"Exited\")",
        "count() > 3 and any(exit.code = 1)",
        "any(runner_connected)",
    ] {
        assert!(!trend(text).stays_true(), "{text}");
    }
}
