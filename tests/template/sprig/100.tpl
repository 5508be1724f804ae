{{ sprig_toDate "2006-01-02" "2017-12-31" | sprig_date "02/01/2006" }}
