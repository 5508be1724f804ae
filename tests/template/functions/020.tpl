{{ add 1 2 }} {{ subtract 1 5 }} {{ 5 | subtract 2 }} {{ multiply 3 4 }} {{ divide 2 9 }} {{ 9 | divide 2 }} {{ modulo 3 10 }} {{ minimum 3 5 }} {{ maximum 3 5 }} {{ divide 2.0 9 }} {{ add 1.5 "2" }}
